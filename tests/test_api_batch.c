// Binding batches through ftc.h: sequences of tokens, inputs over axes of every kind; examples whose tokens
// have labels or are masked.
#include "tests/api.h"

#include <math.h>

Test(trainer, binds_sequences_packed_or_one_by_one) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 1);
    examples e = make_examples();
    const int32_t *ids[3], zeros[9] = {0}, *types[3] = {zeros, zeros, zeros};
    int32_t lengths[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = e.ids + e.offsets[5 + i];
        lengths[i] = (int32_t)(e.offsets[6 + i] - e.offsets[5 + i]);
    }
    const float *loss = ftc_trainer_output(trainer, "loss", NULL),
                *logits = ftc_trainer_output(trainer, "logits", NULL);
    bind(trainer, &e, 5, 3);
    OK(ftc_trainer_eval(trainer));
    float packed_loss = *loss, packed[3 * LABELS];
    memcpy(packed, logits, sizeof packed);
    bind(trainer, &e, 0, 1);
    OK(ftc_trainer_eval(trainer)); // something else in between
    cr_assert_neq(*loss, packed_loss);
    OK(ftc_trainer_bind(trainer, 3, ids, types, lengths, e.labels + 5));
    OK(ftc_trainer_eval(trainer));
    cr_assert_eq(*loss, packed_loss);
    cr_assert_arr_eq(logits, packed, sizeof packed);
    OK(ftc_trainer_bind(trainer, 3, ids, NULL, lengths, NULL)); // without labels
    OK(ftc_trainer_eval(trainer));
    cr_assert_arr_eq(logits, packed, sizeof packed);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// The mean of nothing is 0, so that such a sequence's logits are those of any other empty one.
Test(trainer, takes_empty_sequences) {
    ftc_net *net = open_artifact();
    ftc_trainer *trainer = create(net, 2);
    examples e = make_examples();
    const float *logits = ftc_trainer_output(trainer, "logits", NULL);
    const int64_t offsets[] = {0, 0, 4, 4, 7, 7};
    OK(ftc_trainer_bind_packed(trainer, 1, offsets, e.ids, NULL, e.labels));
    OK(ftc_trainer_eval(trainer));
    float alone[LABELS];
    memcpy(alone, logits, sizeof alone);
    for (int i = 0; i < LABELS; i++) cr_assert(isfinite(alone[i]));
    OK(ftc_trainer_bind_packed(trainer, 5, offsets, e.ids, NULL, e.labels));
    OK(ftc_trainer_eval(trainer));
    for (int i = 0; i < 5; i += 2) cr_expect_arr_eq(logits + i * LABELS, alone, sizeof alone);
    OK(ftc_trainer_grad(trainer));
    OK(ftc_trainer_update(trainer)); // no gradient is NaN
    OK(ftc_trainer_step(trainer));
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// --- batches of any shape -----------------------------------------------------------------------------

// A batch of two sequences, of 2 and 0 tokens along S, 0 and 3 along U; N has one element, G always two.
typedef struct {
    ftc_extent_size extents[7];
    int32_t n_extents;
    ftc_input_cells inputs[7];
    int32_t n_inputs;
} binding;

static const int64_t S_OFFSETS[] = {7, 9, 9}, U_OFFSETS[] = {0, 0, 3}, Q_OFFSETS[] = {0, 2},
                     R_OFFSETS[] = {0, 1, 1};
static const float X_CELLS[] = {1, 2}, Y_CELLS[] = {4, 8, 16}, FAR_CELLS[] = {0.5f}, G_CELLS[] = {32};
static const int32_t K_CELLS[] = {3, 4};
static const uint8_t M_CELLS[] = {1, 0};

static binding wide_batch(void) {
    return (binding){
        .extents = {{"S", 2, S_OFFSETS}, {"U", 2, U_OFFSETS}, {"Q", 1, Q_OFFSETS}, {"R", 2, R_OFFSETS}},
        .n_extents = 4,
        .inputs = {{"x", X_CELLS},
                   {"y", Y_CELLS},
                   {"far", FAR_CELLS},
                   {"m", M_CELLS},
                   {"k", K_CELLS},
                   {"g", G_CELLS}},
        .n_inputs = 6,
    };
}

static ftc_error *bind_wide(ftc_trainer *trainer, const binding *b) {
    return ftc_trainer_bind_inputs(trainer, b->extents, b->n_extents, b->inputs, b->n_inputs);
}

static ftc_net *open_wide(char *dir) {
    static const char TEXT[] =
        "model wide\naxis B <= 3, N <= 2, G = 2, C = 5, idle <= 9\naxis S ragged B <= 4\naxis U ragged B <= "
        "3\n"
        "axis Q ragged N <= 2\naxis R ragged G <= 2\n"
        "input x : f32[B, S]\ninput y : f32[B, U]\ninput far : f32[N]\ninput m : bool[N, Q]\n"
        "input k : i32[B] in C\ninput g : f32[G, R]\np = param \"p\" f32[C] init ones\n"
        "sums = (sum(x; S) + sum(y; U)) * gather(p, C, k)\n"
        "output loss = sum(sums; B) as loss\noutput twice = x * 2, sums, other = select(m, far, 0 - far), "
        "of_g = sum(g; R)\n"
        "train { lr = 0 }\n";
    char *path = test_write(dir, "wide.ir", TEXT, strlen(TEXT));
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    free(path);
    return net;
}

static void check_output(const ftc_trainer *trainer, const char *name, int n, const float *expected) {
    int64_t cells;
    const float *got = ftc_trainer_output(trainer, name, &cells);
    cr_assert(got && cells == n, "%s: %lld cells", name, (long long)cells);
    for (int i = 0; i < n; i++)
        cr_expect_float_eq(got[i], expected[i], 1e-6, "%s[%d]: %g", name, i, (double)got[i]);
}

Test(trainer, binds_inputs_over_axes_of_every_kind) {
    char *dir = test_directory();
    ftc_net *net = open_wide(dir);
    ftc_trainer *trainer = create(net, 2);
    binding b = wide_batch();
    OK(bind_wide(trainer, &b));
    OK(ftc_trainer_eval(trainer));
    check_output(trainer, "loss", 1, (float[]){31});
    check_output(trainer, "sums", 2, (float[]){3, 28});
    check_output(trainer, "twice", 2, (float[]){2, 4});
    check_output(trainer, "other", 2, (float[]){0.5f, -0.5f});
    check_output(trainer, "of_g", 2, (float[]){32, 0});
    OK(ftc_trainer_step(trainer));

    // In another order, batch-like extents too; lengths of nothing alone, whose cells may be NULL.
    static const int64_t nothing[] = {5, 5, 5, 5};
    b.extents[0] = (ftc_extent_size){"N", 1, NULL};
    b.extents[1] = (ftc_extent_size){"U", 3, nothing};
    b.extents[4] = (ftc_extent_size){"B", 3, NULL};
    b.extents[5] = (ftc_extent_size){"S", 3, nothing};
    b.extents[6] = (ftc_extent_size){"G", 2, NULL};
    b.n_extents = 7;
    b.inputs[0] = (ftc_input_cells){"k", (int32_t[]){0, 0, 0}};
    b.inputs[4] = (ftc_input_cells){"x", NULL};
    b.inputs[1].cells = NULL;
    OK(bind_wide(trainer, &b));
    OK(ftc_trainer_step(trainer));
    check_output(trainer, "sums", 3, (float[]){0, 0, 0});
    check_output(trainer, "twice", 0, NULL);
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    scratch_free(dir);
}

static const int64_t DECREASING[] = {0, 2, 1}, FAR_APART[] = {INT64_MIN, INT64_MAX, INT64_MAX},
                     TOO_LONG[] = {0, 5, 5}, FOUR[] = {0, 0, 0, 0, 0};
static const struct {
    int place; // in the binding's extents
    ftc_extent_size size;
    const char *message;
} EXTENT_FAULTS[] = {
    {0, {"T", 2, S_OFFSETS}, "no extent \"T\""},
    {4, {"idle", 3, NULL}, "no extent \"idle\""}, // nothing is over it
    {0, {"U", 2, U_OFFSETS}, "\"U\" is given twice"},
    {4, {"N", 1, S_OFFSETS}, "\"N\" is not ragged: give it n alone"},
    {0, {"S", 2, NULL}, "\"S\" is ragged: give it offsets"},
    {4, {"B", 3, NULL}, "\"B\" is given 2 elements and 3"},
    {4, {"B", -1, NULL}, "\"B\" is given -1 elements"},
    {0, {"S", -1, S_OFFSETS}, "\"B\" is given -1 elements"},
    {0, {"S", 4, FOUR}, "\"S\" has 4 lengths, but the model wide was compiled for at most 3"},
    {0, {"S", 0, FOUR}, "given 0 elements and 2"},
    {0, {"S", 2, DECREASING}, "\"S\" are negative or decrease: 2 is followed by 1"},
    {0, {"S", 2, FAR_APART}, "\"S\" are negative or decrease: -9223372036854775808 is"},
    {0,
     {"S", 2, TOO_LONG},
     "length 0 of the extent \"S\" is 5, but the model wide was compiled for at most 4"},
    {2, {"Q", 0, Q_OFFSETS}, "nothing along axis N"},
    {3, {"R", 1, R_OFFSETS}, "1 element along axis G, which always has 2"},
};
static const int32_t K_ABOVE[] = {0, 5}, K_BELOW[] = {-1, 0};
static const uint8_t M_ABOVE[] = {1, 2};
static const struct {
    int place;
    ftc_input_cells input;
    const char *message;
} INPUT_FAULTS[] = {
    {0, {"z", X_CELLS}, "no input \"z\""},
    {0, {"y", Y_CELLS}, "\"y\" is given twice"},
    {6, {"x", X_CELLS}, "\"x\" is given twice"},
    {0, {"x", NULL}, "\"x\" is given no cells"},
    {4, {"k", K_ABOVE}, "value 0: \"k\" is 5, the model takes 0 to 4"},
    {4, {"k", K_BELOW}, "example 0, value 0: \"k\" is -1"},
    {3, {"m", M_ABOVE}, "element 0, value 1: \"m\" is 2, but a bool is 0 or 1"},
};

// The batch that was bound before is gone.
static void expect_refused(ftc_trainer *trainer, const binding *b, const char *message) {
    binding good = wide_batch();
    OK(bind_wide(trainer, &good));
    FAILS(bind_wide(trainer, b), 2, message);
    FAILS(ftc_trainer_step(trainer), 2, "no batch");
}

Test(trainer, says_what_does_not_fit_a_batch) {
    char *dir = test_directory();
    ftc_net *net = open_wide(dir);
    ftc_trainer *trainer = create(net, 2);
    const binding good = wide_batch();
    for (size_t i = 0; i < sizeof EXTENT_FAULTS / sizeof *EXTENT_FAULTS; i++) {
        binding b = good;
        b.extents[EXTENT_FAULTS[i].place] = EXTENT_FAULTS[i].size;
        b.n_extents += EXTENT_FAULTS[i].place == b.n_extents;
        expect_refused(trainer, &b, EXTENT_FAULTS[i].message);
    }
    for (size_t i = 0; i < sizeof INPUT_FAULTS / sizeof *INPUT_FAULTS; i++) {
        binding b = good;
        b.inputs[INPUT_FAULTS[i].place] = INPUT_FAULTS[i].input;
        b.n_inputs += INPUT_FAULTS[i].place == b.n_inputs;
        expect_refused(trainer, &b, INPUT_FAULTS[i].message);
    }
    binding b = good;
    b.n_extents--;
    expect_refused(trainer, &b, "the extent \"R\" of the model wide is missing");
    b = good;
    b.n_inputs--;
    expect_refused(trainer, &b, "the input \"g\" of the model wide is missing");
    FAILS(ftc_trainer_bind_inputs(trainer, NULL, 0, NULL, 0), 2, "is missing");
    const int32_t *no_tokens[] = {NULL}, lengths[] = {0};
    FAILS(ftc_trainer_bind(trainer, 1, no_tokens, NULL, lengths, NULL), 2,
          "is along N: bind it through the C API");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    scratch_free(dir);
}

// at(x, S, 3) reads a token that a sequence of three has not: an error, before anything is read.
Test(trainer, wants_the_positions_that_the_model_names) {
    static const char TEXT[] = "model fourth\naxis B <= 8\naxis S ragged B <= 16\naxis H = 4, V = 60, C = 3\n"
                               "input ids : i32[B, S] in V\ninput label : i32[B] in C\n"
                               "x = embedding(\"embedding\", ids; V -> H)\n"
                               "logits = linear(\"head\", at(x, S, 3); H -> C)\n"
                               "loss = mean(cross_entropy(logits, label; C); B)\noutput loss, logits\n";
    char *dir = test_directory(), *path = test_write(dir, "fourth.ir", TEXT, strlen(TEXT));
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    ftc_trainer *trainer = create(net, 1);
    const int64_t offsets[] = {0, 4, 7};
    const int32_t ids[7] = {0};
    const float labels[2] = {0};
    OK(ftc_trainer_bind_packed(trainer, 1, offsets, ids, NULL, labels));
    OK(ftc_trainer_step(trainer));
    FAILS(ftc_trainer_bind_packed(trainer, 2, offsets, ids, NULL, labels), 2,
          "example 1 has 3 positions along axis S, but the model fourth names position 3 of it (line 8)");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    free(path);
    scratch_free(dir);
}

// Numbers of elements are those of the batch at hand, not of the largest.
Test(trainer, takes_indices_into_the_batch_at_hand) {
    static const char TEXT[] =
        "model picks\naxis B <= 8, N <= 4\ninput x : f32[B]\ninput row : i32[N] in B\ninput on : i32[N]\n"
        "picked = (gather(x, B, row) + gather(x, B, row + on)) * param \"w\" f32[] init ones\n"
        "output loss = mean(picked; N) as loss\n";
    char *dir = test_directory(), *path = test_write(dir, "picks.ir", TEXT, strlen(TEXT));
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    ftc_trainer *trainer = create(net, 1);
    const ftc_extent_size extents[] = {{"B", 3, NULL}, {"N", 2, NULL}};
    const float x[] = {1, 2, 4};
    int32_t row[] = {1, 2}, on[] = {1, -2};
    const ftc_input_cells inputs[] = {{"x", x}, {"row", row}, {"on", on}};
    OK(ftc_trainer_bind_inputs(trainer, extents, 2, inputs, 3));
    OK(ftc_trainer_eval(trainer));
    const float *loss = ftc_trainer_output(trainer, "loss", NULL);
    cr_expect_float_eq(*loss, 5.5f, 1e-6f);
    on[1] = 1;
    OK(ftc_trainer_bind_inputs(trainer, extents, 2, inputs, 3));
    FAILS(ftc_trainer_eval(trainer), 2,
          "an index into \"x\" lies outside of axis B, which has the positions 0 to 7 at most, and as many "
          "as a batch gives it (line 6 of the model). Nothing has changed: give data that the model has room "
          "for");
    row[1] = 3;
    FAILS(ftc_trainer_bind_inputs(trainer, extents, 2, inputs, 3), 2,
          "\"row\" is 3, the model takes 0 to 2 in a batch of so many");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    free(path);
    scratch_free(dir);
}

// A model whose positions are told by its tokens: ids beyond the table of positions make a call fail that
// changes nothing.
Test(trainer, changes_nothing_when_an_index_leaves_its_table) {
    static const char TEXT[] =
        "model places\naxis B <= 8\naxis S ragged B <= 16\naxis H = 4, V = 60, P = 10, C = 3\n"
        "input ids : i32[B, S] in V\ninput label : i32[B] in C\ninit normal(0.3)\n"
        "x = embedding(\"words\", ids; V -> H) + embedding(\"places\", ids - 1; P -> H)\n"
        "logits = linear(\"head\", mean(x; S); H -> C)\n"
        "loss = mean(cross_entropy(logits, label; C); B)\noutput loss, logits\n";
    char *dir = test_directory(), *path = test_write(dir, "places.ir", TEXT, strlen(TEXT));
    ftc_net *net;
    OK(ftc_net_open(path, NULL, &net));
    ftc_trainer *trainer = create(net, 2), *other = create(net, 1);
    int32_t n;
    const ftc_output_desc *outputs = ftc_net_outputs(net, &n);
    for (int32_t i = 0; i < n; i++) cr_expect_null(strchr(outputs[i].name, ':'), "%s", outputs[i].name);
    const int64_t offsets[] = {0, 2, 4, 6};
    const int32_t good[6] = {1, 2, 3, 4, 5, 10}, bad[6] = {1, 2, 3, 11, 0, 4};
    const float labels[3] = {0, 1, 2};
    for (int with_faults = 0; with_faults < 2; with_faults++) {
        ftc_trainer *t = with_faults ? trainer : other;
        for (int i = 0; i < 3; i++) {
            OK(ftc_trainer_bind_packed(t, 3, offsets, good, NULL, labels));
            OK(ftc_trainer_step(t));
            OK(ftc_trainer_grad(t));
            if (with_faults) {
                const char *what =
                    "sequence 1 along axis B: an index into \"places.weight\" lies outside of axis P, "
                    "which has the positions 0 to 9 (line 8 of the model)";
                OK(ftc_trainer_bind_packed(t, 3, offsets, bad, NULL, labels));
                FAILS(ftc_trainer_step(t), 2, what);
                FAILS(ftc_trainer_grad(t), 2, what);
                FAILS(ftc_trainer_eval(t), 2, what);
                cr_assert_eq(ftc_trainer_steps(t), 2 * i + 1);
                OK(ftc_trainer_bind_packed(t, 3, offsets, good, NULL, labels));
            }
            OK(ftc_trainer_grad(t));
            OK(ftc_trainer_update(t));
        }
    }
    assert_same_tensors(net, trainer, other);
    ftc_trainer_free(trainer);
    ftc_trainer_free(other);
    ftc_net_free(net);
    free(path);
    scratch_free(dir);
}

// --- examples of tokens with labels ---------------------------------------------------------------------

// Three texts; the loss of a batch is the mean over the tokens of its texts that have a label.
Test(tokens, learns_and_scores_labels_of_tokens) {
    enum { TOKENS = 9, CLASSES = 3 };
    static const int64_t OFFSETS[] = {0, 4, 6, TOKENS};
    static const int32_t IDS[TOKENS] = {5, 60, 70, 6, 80, 90, 7, 8, 9},
                         TAGS[TOKENS] = {-100, 0, 1, 2, -100, 1, 2, -100, 0};
    ftc_net *net;
    OK(ftc_net_open(FTC_SOURCE_ROOT "/tests/golden/families/tokens/bert", NULL, &net));
    ftc_trainer *trainer = create(net, 1);
    const ftc_examples list = {.n = 3, .offsets = OFFSETS, .ids = IDS, .tags = TAGS};
    ftc_loop_options options = LOOP;
    options.batch = 2;
    options.epochs = 20;
    options.lr = 1e-2;
    double before, after, right = 0;
    float scores[TOKENS][CLASSES];
    OK(ftc_trainer_evaluate(trainer, &list, 2, NULL, NULL, &before, NULL));
    OK(ftc_trainer_run(trainer, &list, &options, NULL, NULL));
    OK(ftc_trainer_evaluate(trainer, &list, 2, NULL, NULL, &after, *scores));
    cr_expect(after < before / 2, "%g, %g", before, after);
    for (int i = 0; i < TOKENS; i++) {
        if (TAGS[i] < 0) continue;
        double sum = 0;
        for (int k = 0; k < CLASSES; k++) sum += exp((double)scores[i][k] - (double)scores[i][TAGS[i]]);
        right +=
            log(sum) * (OFFSETS[2] > i ? 2. / 4 : 1. / 2) / 3; // texts of the batch over its labels, of all
    }
    cr_expect_float_eq(after, right, 1e-5, "%g, %g", after, right);
    const float labels[] = {0, 1, 2};
    ftc_examples bad = list;
    bad.labels = labels;
    FAILS(ftc_trainer_run(trainer, &bad, &options, NULL, NULL), 2,
          "learns a label a token, and these examples");
    static const int32_t UNKNOWN[TOKENS] = {-100, 0, 1, 2, -100, 3};
    bad = list;
    bad.tags = UNKNOWN;
    FAILS(ftc_trainer_evaluate(trainer, &bad, 2, NULL, NULL, &before, NULL), 2,
          "example 1, token 1 has the label 3; the model bert_cls takes the classes 0 to 2, or -100");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    net = open_artifact();
    trainer = create(net, 1);
    FAILS(ftc_trainer_run(trainer, &list, &options, NULL, NULL), 2,
          "learns a label a text, and these examples");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}

// Texts that are masked as the examples say, and texts that come masked: the same where every token is chosen
// and stays what it is.
Test(tokens, predicts_masked_tokens) {
    static const char *const TASK[] = {"task=mlm", NULL};
    enum { TOKENS = 6, VOCABULARY = 200 };
    static const int64_t OFFSETS[] = {0, 4, TOKENS};
    static const int32_t IDS[TOKENS] = {2, 60, 70, 6, 2, 90}, TAGS[TOKENS] = {-100, 60, 70, 6, -100, 90};
    static const uint8_t SPECIAL[VOCABULARY] = {[2] = 1};
    ftc_net *net;
    OK(ftc_net_open(FTC_SOURCE_ROOT "/tests/golden/parity/tiny/model", &(ftc_net_options){.options = TASK},
                    &net));
    ftc_trainer *trainer = create(net, 1);
    ftc_mask_options masks = {.probability = 1, .mask_id = 4, .vocabulary = VOCABULARY, .special = SPECIAL};
    ftc_examples masked = {.n = 2, .offsets = OFFSETS, .ids = IDS, .tags = TAGS}, list = masked;
    list.tags = NULL;
    list.masks = &masks;
    double right, loss, others, again;
    OK(ftc_trainer_evaluate(trainer, &masked, 2, NULL, NULL, &right, NULL));
    OK(ftc_trainer_evaluate(trainer, &list, 2, NULL, NULL, &loss, NULL));
    cr_expect_eq(loss, right);
    masks.replaced = 0.5;
    masks.random = 0.5;
    OK(ftc_trainer_evaluate(trainer, &list, 2, NULL, NULL, &others, NULL));
    OK(ftc_trainer_evaluate(trainer, &list, 2, NULL, NULL, &again, NULL));
    cr_expect(others != right && others == again);
    masks.seed = 1;
    OK(ftc_trainer_evaluate(trainer, &list, 2, NULL, NULL, &again, NULL));
    cr_expect_neq(again, others);
    OK(ftc_trainer_run(trainer, &list, &LOOP, NULL, NULL));
    masks.random = 0.6;
    FAILS(ftc_trainer_run(trainer, &list, &LOOP, NULL, NULL), 2, "not more than 1 of the last two together");
    masks = (ftc_mask_options){
        .probability = 0.5, .mask_id = VOCABULARY, .vocabulary = VOCABULARY, .special = SPECIAL};
    FAILS(ftc_trainer_run(trainer, &list, &LOOP, NULL, NULL), 2, "the mask token 200 of a vocabulary of 200");
    list.masks = NULL;
    FAILS(ftc_trainer_run(trainer, &list, &LOOP, NULL, NULL), 2, "nothing says which");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
    net = open_artifact();
    trainer = create(net, 1);
    list.masks = &masks;
    FAILS(ftc_trainer_run(trainer, &list, &LOOP, NULL, NULL), 2, "predicts no masked tokens");
    ftc_trainer_free(trainer);
    ftc_net_free(net);
}
