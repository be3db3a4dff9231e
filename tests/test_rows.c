// What rows of files feed, by the command: texts, numbers and lists of numbers for inputs of every kind, and
// what is said of rows that do not fit.
#include "tests/command.h"

static const char TOKENIZER[] = FTC_SOURCE_ROOT "/models/data/tokenizer";

// A model without a text that takes numbers of every type.
static const char NUMBERS[] =
    "model numbers\naxis B <= 4\naxis U ragged B <= 3\naxis K = 4, Q = 2, C = 3, P = 5\n"
    "axis idle ragged B <= 9\n" // nothing is over it, so no column need say how long it is
    "input vec : f32[B, K]\ninput half : bf16[B]\ninput parts : i32[B, U, Q] in P\ninput big : u32[B]\n"
    "input whole : i32[B] from column \"n\"\ninput flag : bool[B]\ninput label : i32[B] in C\n"
    "parts_of = sum(embedding(\"parts\", parts; P -> K); U, Q)\n"
    "x = vec * cast(half, f32) + select(flag, parts_of, 0 - parts_of) + (cast(whole, f32) + cast(big, f32)) "
    "/ 1e9\n"
    "logits = linear(\"head\", tanh(x); K -> C)\n"
    "output loss = mean(cross_entropy(logits, label; C); B), logits\n"
    "train { optimizer = adamw  lr = 1e-2  epochs = 4  batch = 2 }\n";

enum { FIELDS = 7 };
static const char *const NAMES[FIELDS] = {"vec", "half", "parts", "big", "n", "flag", "label"};

// Rows of numbers.ir as JSON lines, with one value in the second row replaced.
static void write_rows(const char *dir, const char *name, const char *field, const char *value) {
    static const char *const ROWS[3][FIELDS] = {
        {"[1, 2, 3, 4]", "0.5", "[[1, 2], [3, 4]]", "4294967295", "-2147483648", "true", "\"b\""},
        {"[0, -1, 1e-3, 2]", "-1", "[]", "0", "2147483647", "0", "\"a\""},
        {"[5, 6, 7, 8]", "2", "[0, 4]", "7", "1", "false", "\"c\""},
    };
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    for (int r = 0; r < 3; r++) {
        fputc('{', out);
        for (int i = 0; i < FIELDS; i++) {
            bool replaced = r == 1 && field && !strcmp(NAMES[i], field);
            if (replaced && !value) continue;
            fprintf(out, "\"%s\": %s%s", NAMES[i], replaced ? value : ROWS[r][i],
                    i == FIELDS - 1 ? "" : ", ");
        }
        fputs("}\n", out);
    }
    fclose(out);
    write_file(dir, name, text);
    free(text);
}

#define NUMBERS_RUN "run", "numbers.ftc", "--train", "rows.jsonl", "--test", "rows.jsonl"

static void compile_numbers(const char *dir) {
    write_file(dir, "numbers.ir", NUMBERS);
    ASSERT_FTC(dir, 0, out, "", "compile", "numbers.ir", "-o", "numbers.ftc");
}

// A row that does not fit is told before the training, by file, line and input; nothing is written.
Test(rows, that_do_not_fit_are_told_before_the_training, .timeout = 240) {
    static const struct {
        const char *field, *value, *message;
    } BAD[] = {
        {"vec", "[1, 2, 3]", "the row has 3 values for the input \"vec\", the model takes 4"},
        {"vec", "[]", "the row has 0 values for the input \"vec\""},
        {"vec", "[1, 2, \"x\", 4]", "column \"vec\" holds \"[1,2,\"x\",4]\": expected a number or a list"},
        {"vec", "[1, null, 3, 4]", "column \"vec\" holds"},
        {"vec", "\"hello\"", "column \"vec\" holds \"hello\": expected a number or a list of numbers"},
        {"vec", "\"nan\"", "column \"vec\" holds \"nan\""},
        {"vec", "[1, 2, 3, 1e999]", "column \"vec\" holds"},
        {"vec", "[1, 2, 3, 1e39]",
         "value 3 for the input \"vec\" is 1e+39; it takes finite numbers up to 3.4e38"},
        {"vec", "{\"a\": 1}", "\"vec\" is neither a text nor a number"},
        {"vec", NULL, "the object has no \"vec\""},
        {"half", "3.4e38", "the input \"half\" is 3.4e+38; it takes finite numbers up to 3.38e38"},
        {"parts", "[1, 2, 3]",
         "has 3 values for the input \"parts\", the model takes 2 for each position along U"},
        {"parts", "[1, 1, 1, 1, 1, 1, 1, 1]",
         "the row has 4 positions along U, but the model was compiled for at most 3"},
        {"parts", "[1, 5]", "the row, value 1: \"parts\" is 5, the model takes 0 to 4"},
        {"parts", "[-1, 1]", "\"parts\" is -1"},
        {"big", "-1", "the input \"big\" is -1; it takes whole numbers from 0 to 4294967295"},
        {"big", "4294967296", "\"big\" is 4294967296; it takes"},
        {"n", "2147483648",
         "\"whole\" (column \"n\") is 2147483648; it takes whole numbers from -2147483648 to"},
        {"n", "0.5", "\"whole\" (column \"n\") is 0.5; it takes whole numbers"},
        {"n", "[1, 2]", "has 2 values for the input \"whole\" (column \"n\"), the model takes 1"},
        {"flag", "2", "the input \"flag\" is 2; it takes 0 and 1, or false and true"},
        {"label", "[1, 2]", "neither a text nor a number"},
    };
    char *dir = test_directory();
    compile_numbers(dir);
    write_rows(dir, "good.jsonl", NULL, NULL);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        write_rows(dir, "rows.jsonl", BAD[i].field, BAD[i].value);
        outcome o = FTC(dir, NUMBERS_RUN);
        cr_expect(o.status == 2 && strstr(o.err, "rows.jsonl:2: ") && strstr(o.err, BAD[i].message),
                  "exit status %d, \"%s\" is not in: %s", o.status, BAD[i].message, o.err);
        cr_expect_not(exists(dir, "output"), "%s", BAD[i].message);
        forget(&o);
    }
    // As test rows, too.
    ASSERT_FTC(dir, 2, err, "rows.jsonl:2: ", "run", "numbers.ftc", "--train", "good.jsonl", "--test",
               "rows.jsonl");
    cr_expect_not(exists(dir, "output"));
    scratch_free(dir);
}

// A model without a text is trained, saved, loaded again, continued bit by bit, and reported on.
Test(rows, feed_a_model_without_a_text, .timeout = 240) {
    char *dir = test_directory();
    compile_numbers(dir);
    write_rows(dir, "rows.jsonl", NULL, NULL);
    write_file(dir, "rows.csv",
               "vec,half,parts,big,n,flag,label\n\"[1, 2, 3, 4]\",0.5,\"[1, 2, 3, "
               "4]\",4294967295,-2147483648,True,b\n"
               "\"[0, -1, 1e-3, 2]\",-1,[],0,2147483647,0,a\n\"[5, 6, 7, 8]\",2,\"[0, 4]\",7,1,False,c\n");
    ASSERT_FTC(dir, 0, err, "saved whole", NUMBERS_RUN, "--output", "whole", "--threads", "1");
    ASSERT_FTC(dir, 0, err, "saved csv", "run", "numbers.ftc", "--train", "rows.csv", "--output", "csv",
               "--threads", "3");
    ASSERT_FTC(dir, 0, err, "saved cut", NUMBERS_RUN, "--output", "cut", "--threads", "7", "--save-strategy",
               "steps", "--save-steps", "3", "--max-steps", "8");
    assert_same_file(dir, "whole/model.safetensors", dir, "csv/model.safetensors");
    assert_same_file(dir, "whole/model.safetensors", dir, "cut/model.safetensors");
    ASSERT_FTC(dir, 0, err, "saved stop", NUMBERS_RUN, "--output", "stop", "--max-steps", "3",
               "--save-strategy", "steps", "--save-steps", "3");
    // The values of columns are a part of the data that a checkpoint belongs to.
    write_rows(dir, "other.jsonl", "half", "1");
    ASSERT_FTC(dir, 2, err, "the training data", "run", "numbers.ftc", "--train", "other.jsonl", "--output",
               "stop", "--max-steps", "8", "--resume");
    char *report = read_text(dir, "whole/report.html");
    cr_expect(strstr(report, "of 3 test examples are misclassified"));
    free(report);
    outcome o = FTC(dir, "eval", "whole", "--test", "rows.csv", "--json");
    cr_assert_eq(o.status, 0, "%s", o.err);
    cr_expect_eq(last_number(o.out, "eval_samples"), 3);
    cr_expect(isfinite(last_number(o.out, "eval_accuracy")), "%s", o.out);
    forget(&o);
    ASSERT_FTC(dir, 2, err, "the model numbers reads no text", "predict", "whole", "hello");
    ASSERT_FTC(dir, 0, out, "bounds             B <= 4, U <= 3\n", "inspect", "numbers.ftc");
    ASSERT_FTC(dir, 0, out, "compiled", "verify", "numbers.ir");
    ASSERT_FTC(dir, 0, out, "compiled", "verify", "numbers.ir", "--train", "rows.csv");
    ASSERT_FTC(dir, 0, out, "loss", "bench", "numbers.ftc", "--steps", "1");
    // Nothing learned: a model that is wrong about some rows names them by their numbers.
    ASSERT_FTC(dir, 0, err, "report", NUMBERS_RUN, "--output", "raw", "--lr", "0", "--max-steps", "1");
    report = read_text(dir, "raw/report.html");
    cr_expect(strstr(report, "<bdi>row "));
    free(report);
    scratch_free(dir);
}

// Names mean nothing where roles are declared: texts and labels under other names are trained, evaluated and
// predicted; a loss for each token has the tokens as its weight.
Test(rows, feed_roles_by_any_name, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "named.ir",
               "model named\naxis B <= 4\naxis S ragged B <= 8\naxis V = 1660, H = 4, C = 2, Y = 2\n"
               "input words : i32[B, S] in V from tokens\ninput side : i32[B, S] in Y from token_types\n"
               "input verdict : i32[B] in C from label\n"
               "x = embedding(\"words\", words; V -> H) + embedding(\"side\", side; Y -> H)\n"
               "answers = linear(\"head\", mean(x; S); H -> C)\n"
               "output cost = mean(cross_entropy(answers, verdict; C); B) as loss, answers as scores over C\n"
               "output vector = mean(x; S) as embedding, hidden = x\n"
               "train { optimizer = adamw  lr = 1e-2  epochs = 2  batch = 2 }\n");
    write_file(dir, "rows.csv", "text,label\ngood food,yes\nbad,no\ncold soup,no\n");
    ASSERT_FTC(dir, 0, err, "saved output", "run", "named.ir", "--train", "rows.csv", "--test", "rows.csv",
               "--tokenizer", TOKENIZER);
    ASSERT_FTC(dir, 0, out, "accuracy", "eval", "output", "--test", "rows.csv");
    ASSERT_FTC(dir, 0, out, "  good food", "predict", "output", "good food");

    // "bad" has 3 tokens, the position that the model names is the fourth: told at once, with its line.
    write_file(dir, "fourth.ir",
               "model fourth\naxis B <= 4\naxis S ragged B <= 8\naxis V = 1660, H = 4, C = 2\n"
               "input ids : i32[B, S] in V\ninput label : i32[B] in C\n"
               "y = linear(\"head\", at(embedding(\"e\", ids; V -> H), S, 3); H -> C)\n"
               "output loss = mean(cross_entropy(y, label; C); B), logits = y\n");
    ASSERT_FTC(dir, 2, err,
               "rows.csv:3: the row has 3 positions along axis S, but the model fourth names position 3",
               "run", "fourth.ir", "--train", "rows.csv", "--tokenizer", TOKENIZER, "--output", "none");
    cr_expect_not(exists(dir, "none"));

    // A number for each token; a label without scores is a class of the label's input.
    write_file(dir, "tags.ir",
               "model tags\naxis B <= 4\naxis S ragged B <= 8\naxis V = 1660, H = 4, C = 2\n"
               "input ids : i32[B, S] in V\ninput tags : i32[B, S] in C\ninput label : i32[B] in C\n"
               "y = linear(\"head\", embedding(\"e\", ids; V -> H); H -> C)\n"
               "of_row = cross_entropy(mean(y; S), label; C)\n"
               "n = sum(fill(1; B, S); B, S)\n"
               "output loss = sum(cross_entropy(y, tags; C); B, S) / n + mean(of_row; B) as loss weight n\n");
    write_file(dir, "tags.jsonl",
               "{\"text\": \"good food\", \"tags\": [0, 1, 1, 0], \"label\": \"yes\"}\n"
               "{\"text\": \"bad\", \"tags\": [0, 1, 0], \"label\": \"no\"}\n");
    ASSERT_FTC(dir, 0, out, "eval_loss", "run", "tags.ir", "--train", "tags.jsonl", "--test", "tags.jsonl",
               "--tokenizer", TOKENIZER);
    write_file(dir, "short.jsonl",
               "{\"text\": \"good food\", \"tags\": [0, 1, 1, 0], \"label\": \"yes\"}\n"
               "{\"text\": \"bad\", \"tags\": [1], \"label\": \"no\"}\n");
    ASSERT_FTC(
        dir, 2, err,
        "short.jsonl:2: the row has 1 value for the input \"tags\", the model takes 3: 1 for each position "
        "along S, the special tokens' too",
        "run", "tags.ir", "--train", "short.jsonl", "--tokenizer", TOKENIZER);
    scratch_free(dir);
}

// What is along an axis that no row tells the length of.
Test(rows, cannot_tell_how_long_other_axes_are) {
    char *dir = test_directory();
    write_file(dir, "far.ir",
               "model far\naxis B <= 2, N <= 3\ninput x : f32[B]\n"
               "output loss = sum(x * param \"p\" f32[] init zeros; B) as loss\noutput far = fill(1; N)\n");
    write_file(dir, "rows.csv", "x\n1\n2\n");
    ASSERT_FTC(dir, 2, err, "no input of the model far says how many elements N has", "run", "far.ir",
               "--train", "rows.csv");
    scratch_free(dir);
}

// Rows feed numbers and lists of numbers, also as the label; a test set's loss weighs its batches as the
// model says.
Test(rows, rows_feed_numbers_and_lists, .timeout = 240) {
    char *dir = test_directory();
    write_file(dir, "sums.ir",
               "model sums\naxis B <= 2\naxis U ragged B <= 4\naxis C = 3\n"
               "input hot : f32[B, C] from label\ninput parts : i32[B, U]\n"
               "input trust : f32[B] from column \"confidence\"\n"
               "p = param \"p\" f32[C] init zeros\nweight = sum(trust; B)\n"
               "of_row = sum(hot; C) + sum(cast(parts, f32); U)\n"
               "output loss = sum(trust * of_row; B) / weight + sum(p * p; C) as loss weight weight\n"
               "train { lr = 0 }\n");
    write_file(dir, "rows.jsonl",
               "{\"label\": [0, 1, 1], \"parts\": [1, 2], \"confidence\": 0.5}\n"
               "{\"label\": [1, 0, 1], \"parts\": [], \"confidence\": 1}\n"
               "{\"label\": [0, 1, 0], \"parts\": [4], \"confidence\": 0.25}\n");
    write_file(
        dir, "rows.csv",
        "label,parts,confidence\n\"[0, 1, 1]\",\"[1, 2]\",0.5\n\"[1, 0, 1]\",[],1\n\"[0, 1, 0]\",4,0.25\n");
    static const char *const FILES[] = {"rows.jsonl", "rows.csv"};
    for (int i = 0; i < 2; i++) {
        outcome o = FTC(dir, "run", "sums.ir", "--train", FILES[i], "--test", FILES[i], "--epochs", "1",
                        "--batch", "2", "--metrics", "m.jsonl");
        cr_assert_eq(o.status, 0, "%s%s", o.out, o.err);
        forget(&o);
        // (2 + 3) * 0.5, 2 * 1 and (1 + 4) * 0.25 of 1.75
        cr_expect_float_eq(metric(dir, "eval_loss"), 5.75 / 1.75, 1e-6, "%s", FILES[i]);
    }
    write_file(dir, "short.jsonl", "{\"label\": [0, 1], \"parts\": [1], \"confidence\": 0.5}\n");
    ASSERT_FTC(dir, 2, err, "short.jsonl:1: the label lists 2 numbers, the model has 3 labels", "run",
               "sums.ir", "--train", "short.jsonl");
    scratch_free(dir);
}

// What no row can feed is refused by its name before the file is asked for its column.
Test(rows, inputs_over_another_batch_are_refused) {
    char *dir = test_directory();
    write_file(dir, "far.ir",
               "model far\naxis B <= 2, N <= 3\ninput x : f32[B]\ninput far : f32[N]\n"
               "output loss = sum(x * param \"p\" f32[] init zeros; B) + sum(far; N) as loss\n");
    write_file(dir, "rows.csv", "x\n1\n2\n");
    ASSERT_FTC(dir, 2, err, "the input \"far\" of the model far is along N: bind it through the C API", "run",
               "far.ir", "--train", "rows.csv");
    scratch_free(dir);
}
