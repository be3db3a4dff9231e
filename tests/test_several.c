// Several labels a text: every form of them in files, what they become, and what is refused.
#include "ir/base/alloc.h"
#include "tests/command.h"

static const char MODEL[] = FTC_SOURCE_ROOT "/models/bert-cls.ir";
static const char TOKENIZER[] = FTC_SOURCE_ROOT "/models/data/tokenizer";
#define SMALL "--set", "hidden=32", "--set", "intermediate=64", "--set", "layers=1"

TestSuite(several, .timeout = 240);

// Twelve texts, each with some of the labels cold, food and rude, in every form that files have.
static void write_several(const char *dir) {
    static const char *const WORDS[] = {"cold", "food", "rude"};
    ftc_text texts[5];
    FILE *files[5];
    for (int i = 0; i < 5; i++) files[i] = ftc_text_open(&texts[i]);
    fputs("text,labels\n", files[0]);
    fputs("text,food,cold,rude\n", files[1]);
    for (int row = 0; row < 12; row++) {
        char names[64] = "", bars[64] = "", ids[64] = "";
        for (int k = 0; k < 3; k++) {
            if (!(row >> k & 1)) continue;
            const char *comma = *names ? ", " : "";
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s\"%s\"", comma, WORDS[k]);
            snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s%d", comma, k);
            snprintf(bars + strlen(bars), sizeof bars - strlen(bars), "%s%s", *bars ? "|" : "", WORDS[k]);
        }
        char text[64];
        snprintf(text, sizeof text, "the soup was %s %d", bars, row);
        for (char *bar; (bar = strchr(text, '|'));) *bar = ' ';
        fprintf(files[0], "%s,%s\n", text, bars);
        fprintf(files[1], "%s,%d,%d,%s\n", text, row >> 1 & 1, row & 1, row >> 2 & 1 ? "True" : "False");
        fprintf(files[2], "{\"text\": \"%s\", \"labels\": [%s]}\n", text, names);
        fprintf(files[3], "{\"text\": \"%s\", \"labels\": [%s]}\n", text, ids);
        fprintf(files[4], "{\"text\": \"%s\", \"labels\": [%d.0, %d.0, %d.0]}\n", text, row & 1, row >> 1 & 1,
                row >> 2 & 1);
    }
    static const char *const NAMES[] = {"bars.csv", "columns.csv", "names.jsonl", "ids.jsonl",
                                        "numbers.jsonl"};
    for (int i = 0; i < 5; i++) {
        char *text = ftc_text_close(&texts[i], NULL);
        write_file(dir, NAMES[i], text);
        free(text);
    }
}

#define SEVERAL(...)                                                                                         \
    "run", MODEL, SMALL, "--tokenizer", TOKENIZER, "--max-steps", "4", "--no-shuffle", "--lr", "1e-2",       \
        "--metrics", "m.jsonl", __VA_ARGS__

// All forms say the same, and lists and columns say that a text has several labels.
Test(several, several_labels_in_every_form) {
    static const char *const RUNS[][4] = {
        {"bars.csv", "--task", "multi_label", "listed: cold → 0, food → 1, rude → 2"},
        {"names.jsonl", "--epochs", "1", "listed: cold → 0, food → 1, rude → 2"},
        {"ids.jsonl", "--epochs", "1", "listed: 0 → 0, 1 → 1, 2 → 2"},
        {"numbers.jsonl", "--loss", "bce", "lists of numbers: 0 → 0"},
        {"columns.csv", "--label-columns", "cold,food,rude", "each a column: cold → 0"}};
    char *dir = test_directory();
    write_several(dir);
    double loss = 0, auc = 0;
    for (int i = 0; i < 5; i++) {
        const char *const *r = RUNS[i];
        ASSERT_FTC(dir, 0, err, r[3], SEVERAL("--train", r[0], "--test", r[0], r[1], r[2]));
        double now = metric(dir, "eval_loss"), now_auc = metric(dir, "eval_roc_auc_macro");
        cr_expect(i ? now == loss && now_auc == auc : now > 0.1 && now_auc > 0,
                  "%s: %.9g, not %.9g; %g, not %g", r[0], now, loss, now_auc, auc);
        loss = i ? loss : now;
        auc = i ? auc : now_auc;
    }
    // The model of columns finds its labels by their names.
    ASSERT_FTC(dir, 0, out, "all labels of a text right", "eval", "output", "--test", "columns.csv",
               "--label-columns", "rude,cold,food");
    ASSERT_FTC(dir, 0, out, "roc auc", "eval", "output", "--test", "bars.csv");
    // Each label by itself: cold is that of every second text.
    ASSERT_FTC(dir, 0, out, "\nall together ", "eval", "output", "--test", "bars.csv");
    ASSERT_FTC(dir, 0, out, "\"eval_classes\": [{\"label\": \"cold\", \"precision\": ", "eval", "output",
               "--test", "bars.csv", "--json");
    char *card = read_text(dir, "output/README.md");
    static const char *const PARTS[] = {"\n### Results by label\n", "\n| cold | ", " | 6 |\n",
                                        "\n| *all together* | "};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        cr_expect(strstr(card, PARTS[i]), "\"%s\" is not in %s", PARTS[i], card);
    free(card);
    char *config = read_text(dir, "output/config.json");
    cr_expect(strstr(config, "\"problem_type\":\t\"multi_label_classification\""), "%s", config);
    free(config);
    // What it saved is read as what it is.
    ASSERT_FTC(dir, 0, err, "task: multi_label", "run", "--pretrained", "output", "--train", "bars.csv",
               "--max-steps", "1", "--output", "more");
    ASSERT_FTC(dir, 0, out, "{\"labels\": [], \"logits\"", "predict", "output", "--json", "--threshold", "1",
               "soup");
    ASSERT_FTC(dir, 0, out, "\"labels\": [{\"label\": \"", "predict", "output", "--json", "--threshold", "0",
               "soup");
    ASSERT_FTC(dir, 0, out, "-  soup", "predict", "output", "--threshold", "1", "soup");
    ASSERT_FTC(dir, 0, out, "row,labels,scores,text\n0,,,soup\n", "predict", "output", "--csv", "--threshold",
               "1", "soup");
    scratch_free(dir);
}

Test(several, several_labels_that_do_not_fit_are_refused) {
    static const char *const WRONG[][3] = {
        {"{\"text\": \"a\", \"labels\": [\"x\"]}\n{\"text\": \"b\", \"labels\": null}\n",
         "wrong.jsonl:2: the row has no label"},
        {"{\"text\": \"a\", \"labels\": [\"x\"]}\n{\"text\": \"b\"}\n",
         "wrong.jsonl:2: the row has no label"},
        {"{\"text\": \"a\", \"labels\": []}\n{\"text\": \"b\", \"labels\": []}\n", "gives no text a label"},
        {"{\"text\": \"a\", \"labels\": [0.5, 1]}\n{\"text\": \"b\", \"labels\": [1, 0, 1]}\n",
         "wrong.jsonl:2: the label lists 3 numbers, the model has 2 labels"}};
    char *dir = test_directory();
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        write_file(dir, "wrong.jsonl", WRONG[i][0]);
        ASSERT_FTC(dir, 2, err, WRONG[i][1], SEVERAL("--train", "wrong.jsonl"));
    }
    write_several(dir);
    ASSERT_FTC(dir, 2, err, "there is no column \"rudd\"; did you mean \"rude\"?",
               SEVERAL("--train", "columns.csv", "--label-columns", "cold,rudd"));
    ASSERT_FTC(dir, 2, err, "the column \"cold\" is both the text's",
               SEVERAL("--train", "columns.csv", "--label-columns", "rude,cold", "--text-column", "cold"));
    ASSERT_FTC(dir, 2, err, "names the column \"cold\" twice",
               SEVERAL("--train", "columns.csv", "--label-columns", "cold,cold"));
    ASSERT_FTC(dir, 2, err, "the model bert_cls does not take several labels a text; pass --task multi_label",
               SEVERAL("--train", "columns.csv", "--label-columns", "cold,rude", "--task", "classification"));
    write_file(dir, "wrong.csv", "text,cold,rude\na,1,0\nb,2,0\n");
    ASSERT_FTC(dir, 2, err, "wrong.csv:3: the label column \"cold\" holds \"2\": expected 1 or 0",
               SEVERAL("--train", "wrong.csv", "--label-columns", "cold,rude"));
    write_file(dir, "wrong.csv", "text,cold,rude\na,1,0\nb,,0\n");
    ASSERT_FTC(dir, 2, err, "wrong.csv:3: the row has no label: \"cold\" is empty",
               SEVERAL("--train", "wrong.csv", "--label-columns", "cold,rude"));
    write_file(dir, "wrong.csv", "text,labels\na,\"['cold', 'rude']\"\nb,['cold']\n");
    ASSERT_FTC(dir, 2, err, "wrong.csv:2: the label ['cold', 'rude'] is a list as Python prints it",
               SEVERAL("--train", "wrong.csv"));
    write_file(dir, "wrong.csv", "text,labels\na,cold|hot\n");
    ASSERT_FTC(dir, 2, err, "wrong.csv:2: the label \"hot\" is none of those that the model knows",
               SEVERAL("--train", "bars.csv", "--test", "wrong.csv", "--task", "multi_label"));
    ASSERT_FTC(dir, 2, err, "loss 'cross_entropy' is not known for several labels",
               SEVERAL("--train", "bars.csv", "--task", "multi_label", "--loss", "cross_entropy"));
    scratch_free(dir);
}
// Weights of classes, by how often they occur in the rows that are trained on and by name; the evaluation of
// what is saved weighs as the training did.
Test(several, classes_weigh_as_asked) {
    char *dir = test_directory();
    write_several(dir);
    write_file(dir, "one.csv", "text,label\na,x\nb,y\nc,y\nd,y\ne,z\nf,x\n");
    write_file(dir, "weights.json", "{\"y\": 1, \"x\": 0.5, \"z\": 2e-1}");
    write_file(dir, "weights.csv", "label,weight\nz,0.2\nx,0.5\ny,1\n");
    // 6 / (3 · 2), 6 / (3 · 3), 6 / (3 · 1)
    ASSERT_FTC(dir, 0, err, "class weights: x 1, y 0.6667, z 2\n",
               SEVERAL("--train", "one.csv", "--class-weights", "balanced"));
    ASSERT_FTC(dir, 0, err, "class weights: x 1.333, y 0.4444, z 1\n", // of the first 4 rows alone
               SEVERAL("--train", "one.csv", "--class-weights", "balanced", "--select-train", "4"));
    ASSERT_FTC(dir, 0, err, "class weights: cold 1, food 1, rude 2\n", // 6 : 6, 6 : 6, 8 : 4
               SEVERAL("--train", "columns.csv", "--label-columns", "cold,food,rude", "--class-weights",
                       "balanced"));
    double loss[2];
    for (int i = 0; i < 2; i++) {
        ASSERT_FTC(dir, 0, err, "class weights: x 0.5, y 1, z 0.2\n",
                   SEVERAL("--train", "one.csv", "--test", "one.csv", "--loss", "focal", "--class-weights",
                           i ? "weights.csv" : "weights.json"));
        loss[i] = metric(dir, "eval_loss");
    }
    cr_expect(loss[0] == loss[1] && loss[0] > 0, "%g and %g", loss[0], loss[1]);
    outcome o = FTC(dir, "eval", "output", "--test", "one.csv", "--json");
    cr_expect_float_eq(last_number(o.out, "eval_loss"), loss[0], 1e-6, "%s", o.out);
    forget(&o);
    write_file(dir, "weights.json", "{\"y\": 1, \"x\": 0.5}");
    ASSERT_FTC(dir, 2, err, "weights.json: the class \"z\" has no weight",
               SEVERAL("--train", "one.csv", "--class-weights", "weights.json"));
    write_file(dir, "weights.json", "{\"y\": -1}");
    ASSERT_FTC(dir, 2, err, "weights.json: the weight of \"y\" is -1: expected a number from 0 on",
               SEVERAL("--train", "one.csv", "--class-weights", "weights.json"));
    ASSERT_FTC(dir, 2, err, "weights.csv: \"z\" is no class of the training data",
               SEVERAL("--train", "bars.csv", "--task", "multi_label", "--class-weights", "weights.csv"));
    ASSERT_FTC(dir, 2, err, "the model's labels are no classes",
               SEVERAL("--train", "one.csv", "--set", "labels=1", "--class-weights", "balanced"));
    ASSERT_FTC(dir, 2, err, "must be 3 numbers with | between them, one for each C",
               SEVERAL("--train", "one.csv", "--set", "labels=3", "--set", "class_weights=1|2"));
    ASSERT_FTC(dir, 2, err, "has no focal loss: pass --loss focal",
               SEVERAL("--train", "one.csv", "--focal-gamma", "1"));
    scratch_free(dir);
}
#undef SEVERAL
