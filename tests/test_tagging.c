// A label a token, by the command: data, scores, answers, and what is refused.
#include "tests/small_model.h"

// Labelled words are trained as such without an option, scored by their spans, and answered with spans.
Test(tagging, words_are_labelled, .timeout = 240) {
    static const char DIR[] = FTC_SOURCE_ROOT "/tests/golden/families/tokens";
    char *dir = test_directory(), *base = test_join(DIR, "bert"), *train = test_join(DIR, "train.jsonl"),
         *test = test_join(DIR, "test.jsonl");
    ASSERT_FTC(dir, 0, err, "task: tokens", "run", MODEL, SMALL, "--train", train, "--test", test,
               "--tokenizer", TOKENIZER, "--epochs", "2", "--load-best-model-at-end", "--save-strategy",
               "epoch", "--eval-strategy", "epoch", "--metric-for-best-model", "f1", "--save-total-limit",
               "0");
    char *config = read_text(dir, "output/config.json"),
         *state = read_text(dir, "output/checkpoint-20/trainer_state.json");
    cr_expect(strstr(config, "BertForTokenClassification") && strstr(config, "\"0\":\t\"B-X\"") &&
                  !strstr(config, "problem_type"),
              "%s", config);
    cr_expect(strstr(state, "eval_f1"), "%s", state);
    char *card = read_text(dir, "output/README.md");
    cr_expect(strstr(card, "pipeline_tag: token-classification\n"), "%s", card);
    free(card);
    free(config);
    free(state);
    ASSERT_FTC(dir, 0, out, "recall ", "eval", "output", "--test", test);
    ASSERT_FTC(dir, 0, out, "\"words\": [\"Good\", \"food\", \",\", \"U.S\", \".\", \")\"]", "predict",
               "output", "--json", "Good food, U.S.)");
    ASSERT_FTC(dir, 0, out, "\"labels\": [null, null]", "predict", "output", "--json", "--max-length", "2",
               "Good food");
    ASSERT_FTC(dir, 0, out, "row,label,score,first,last,span,tokens,ner_tags\n0,", "predict", "output",
               "--csv", "--file", test);
    ASSERT_FTC(dir, 2, err, "labels tokens", "predict", "output", "--top-k", "2", "Good food");
    ASSERT_FTC(dir, 0, err, "11 of the 80 sentences are cut to 40 tokens", "run", "--pretrained", base,
               "--train", train, "--output", "cut", "--max-steps", "1", "--label-all-tokens");
    ASSERT_FTC(dir, 2, err, "no second text", "run", "--pretrained", base, "--train", train, "--pair-column",
               "id", "--output", "pair");
    write_file(dir, "whole.csv", "text,label\ngood food,1\nbad,0\n");
    ASSERT_FTC(dir, 2, err,
               "whole.csv:2: the sentence has 2 words and 1 label; for one label a text pass --task", "run",
               "--pretrained", base, "--train", "whole.csv", "--output", "whole");
    ASSERT_FTC(dir, 0, err, "task: classification", "run", "--pretrained", base, "--task", "classification",
               "--train", "whole.csv", "--output", "whole", "--max-steps", "1");
    scratch_free(dir);
    free(base);
    free(train);
    free(test);
}

// A word has one label in training; in the test "soup" is a drink once, so that all scores are known.
static const char KINDS_TRAIN[] =
    "{\"tokens\": [\"the\", \"soup\", \"and\", \"waiter\"], \"tags\": [\"O\", \"B-FOOD\", \"O\", "
    "\"B-STAFF\"]}\n"
    "{\"tokens\": [\"soup\", \"was\", \"waiter\"], \"tags\": [\"B-FOOD\", \"O\", \"B-STAFF\"]}\n"
    "{\"tokens\": [\"wine\", \"and\", \"soup\"], \"tags\": [\"B-DRINK\", \"O\", \"B-FOOD\"]}\n";
static const char KINDS_TEST[] =
    "{\"tokens\": [\"the\", \"soup\", \"and\", \"waiter\"], \"tags\": [\"O\", \"B-FOOD\", \"O\", "
    "\"B-STAFF\"]}\n"
    "{\"tokens\": [\"soup\", \"was\", \"waiter\"], \"tags\": [\"B-DRINK\", \"O\", \"B-STAFF\"]}\n";

// Of 10 labelled words 1, 3, 2 and 4 have each class; the word with -100 does not count.
Test(tagging, classes_of_words_weigh_as_asked, .timeout = 240) {
    char *dir = test_directory(), text[1000];
    snprintf(text, sizeof text, "%s{\"tokens\": [\"soup\"], \"tags\": [-100]}\n", KINDS_TRAIN);
    write_file(dir, "train.jsonl", text);
    ASSERT_FTC(dir, 0, err, "class weights: B-DRINK 2.5, B-FOOD 0.8333, B-STAFF 1.25, O 0.625\n", "run",
               MODEL, SMALL, "--train", "train.jsonl", "--test", "train.jsonl", "--tokenizer", TOKENIZER,
               "--epochs", "1", "--loss", "focal", "--class-weights", "balanced", "--metrics", "m.jsonl");
    double loss = metric(dir, "eval_loss");
    outcome o = FTC(dir, "eval", "output", "--test", "train.jsonl", "--json");
    cr_expect_float_eq(last_number(o.out, "eval_loss"), loss, 1e-6, "%s", o.out);
    forget(&o);
    scratch_free(dir);
}

// What evaluation, card and report tell of spans of each type, and over all.
Test(tagging, types_of_spans_have_a_table, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "train.jsonl", KINDS_TRAIN);
    write_file(dir, "test.jsonl", KINDS_TEST);
    ASSERT_FTC(dir, 0, err, "task: tokens", "run", MODEL, SMALL, "--train", "train.jsonl", "--test",
               "test.jsonl", "--tokenizer", TOKENIZER, "--epochs", "60", "--lr", "1e-2", "--dropout", "0");
    ASSERT_FTC(dir, 0, out,
               "type             precision    recall        f1     spans\n"
               "DRINK               0.0000    0.0000    0.0000         1\n"
               "FOOD                0.5000    1.0000    0.6667         1\n"
               "STAFF               1.0000    1.0000    1.0000         2\n"
               "all together        0.7500    0.7500    0.7500         4\n"
               "mean of types       0.5000    0.6667    0.5556         4\n"
               "mean of spans       0.6250    0.7500    0.6667         4\n",
               "eval", "output", "--test", "test.jsonl");
    ASSERT_FTC(
        dir, 0, out,
        "\"eval_types\": [{\"type\": \"DRINK\", \"precision\": 0, \"recall\": 0, \"f1\": 0, "
        "\"support\": 1}, {\"type\": \"FOOD\", \"precision\": 0.5, \"recall\": 1, \"f1\": 0.666666667, ",
        "eval", "output", "--json", "--test", "test.jsonl");
    char *card = read_text(dir, "output/README.md"), *report = read_text(dir, "output/report.html");
    cr_expect(strstr(card, "### Results by type\n\n| Type | Precision | Recall | F1 | Spans |\n"), "%s",
              card);
    cr_expect(strstr(card, "\n| FOOD | 0.5000 | 1.0000 | 0.6667 | 1 |\n"), "%s", card);
    cr_expect(strstr(card, "\n| *mean of types* | 0.5000 | 0.6667 | 0.5556 | 4 |\n"), "%s", card);
    cr_expect(strstr(report, "<a href=\"#types\">Types of spans</a>") &&
              strstr(report, ">FOOD</th><td>0.5000</td><td>1.0000</td><td>0.6667</td><td>1</td></tr>"));
    free(card);
    free(report);
    scratch_free(dir);
}

// Files of sentences for commands that do not train labels of tokens: taken for what they are, or refused.
Test(tagging, sentences_elsewhere, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "x.conll", "good B-X\nfood O\n\nbad O\n");
    ASSERT_FTC(dir, 0, out, "good food", "tokenize", TOKENIZER, "--file", "x.conll");
    ASSERT_FTC(dir, 0, out, "[CLS] good food [SEP]", "inspect", "--train", "x.conll", "--row", "0",
               "--tokenizer", TOKENIZER);
    ASSERT_FTC(dir, 2, err, "does not label tokens", "run", MODEL, SMALL, "--train", "x.conll", "--tokenizer",
               TOKENIZER, "--task", "classification");
    ASSERT_FTC(dir, 0, err, "saved output", "run", MODEL, SMALL, "--train", TRAIN, "--tokenizer", TOKENIZER,
               "--max-steps", "1");
    ASSERT_FTC(dir, 2, err, "does not label tokens", "predict", "output", "--file", "x.conll");
    ASSERT_FTC(dir, 2, err, "does not label tokens", "eval", "output", "--test", "x.conll");
    scratch_free(dir);
}
