#include "tests/bag_model.h"

#include <math.h>
#include <string.h>

#define V BAG_VOCAB
#define C BAG_CLASSES

enum {
    LR,
    BETA1,
    BETA2,
    EPS,
    DECAY,
    NO_DECAY,
    CORRECTION1,
    CORRECTION2,
    ACCUMULATION,
    MAX_NORM,
    DROPOUT,
    SCALARS
};
enum { LOSS, LOGITS, NORM, OUTPUTS };
enum { IDS, LABEL, INPUTS };

// --- the mathematics ----------------------------------------------------------------------------------

// A random number in [0, 1) for a token, from everything that the ABI says it depends on.
static float uniform(const ftc_step_args *a, uint32_t sequence, uint32_t position) {
    uint64_t key[5] = {a->seed, a->step, a->micro_step, sequence, position}, hash = 0xcbf29ce484222325u;
    for (int i = 0; i < 5; i++) hash = (hash ^ key[i]) * 0x100000001b3u, hash ^= hash >> 29;
    return (float)(hash >> 40) * 0x1p-24f;
}

// What a token of this call is multiplied with: dropout over the length.
static float token_weight(const ftc_step_args *a, int64_t b, int64_t position, int64_t length,
                          float dropout) {
    if (dropout > 0 && uniform(a, (uint32_t)b, (uint32_t)position) < dropout) return 0;
    return 1 / ((1 - dropout) * (float)length);
}

// The loss of sequence b; probabilities[C] become those of the classes.
static float forward(const ftc_step_args *a, int64_t b, float dropout, float *probabilities) {
    const float *w = a->tensors[BAG_W], *bias = a->tensors[BAG_BIAS];
    const int32_t *ids = a->inputs[IDS], *offsets = a->offsets[1],
                  label = ((const int32_t *)a->inputs[LABEL])[b];
    float *logits = (float *)a->outputs[LOGITS] + b * C, most = -INFINITY, sum = 0;
    for (int c = 0; c < C; c++) logits[c] = bias[c];
    for (int32_t t = offsets[b]; t < offsets[b + 1]; t++) {
        float scale = token_weight(a, b, t - offsets[b], offsets[b + 1] - offsets[b], dropout);
        for (int c = 0; c < C; c++) logits[c] += scale * w[ids[t] * C + c];
    }
    for (int c = 0; c < C; c++) most = fmaxf(most, logits[c]);
    for (int c = 0; c < C; c++) sum += probabilities[c] = expf(logits[c] - most);
    for (int c = 0; c < C; c++) probabilities[c] /= sum;
    return logf(sum) + most - logits[label];
}

// Mean loss of the batch, and its gradient times `scale` added to w_grad and bias_grad unless these are NULL.
static float batch_loss(const ftc_step_args *a, float dropout, float scale, float *w_grad, float *bias_grad) {
    const int32_t *ids = a->inputs[IDS], *labels = a->inputs[LABEL], *offsets = a->offsets[1];
    int64_t sequences = a->extents[0];
    float sum = 0;
    for (int64_t b = 0; b < sequences; b++) {
        float p[C];
        sum += forward(a, b, dropout, p);
        if (!w_grad) continue;
        for (int c = 0; c < C; c++) {
            float d = (p[c] - (float)(labels[b] == c)) * scale / (float)sequences;
            bias_grad[c] += d;
            for (int32_t t = offsets[b]; t < offsets[b + 1]; t++) {
                if (ids[t] == 0) continue; // zero_row
                float weight = token_weight(a, b, t - offsets[b], offsets[b + 1] - offsets[b], dropout);
                w_grad[ids[t] * C + c] += d * weight;
            }
        }
    }
    return sum / (float)sequences;
}

// AdamW (Loshchilov and Hutter) for elements first … end-1.
static void adamw(const ftc_step_args *a, float *x, float *m, float *v, const float *g, float clip,
                  float decay, int64_t first, int64_t end) {
    const float *s = a->scalars;
    for (int64_t i = first; i < end; i++) {
        float gradient = g[i] * clip;
        x[i] *= 1 - s[LR] * decay;
        m[i] = s[BETA1] * m[i] + (1 - s[BETA1]) * gradient;
        v[i] = s[BETA2] * v[i] + (1 - s[BETA2]) * gradient * gradient;
        x[i] -= s[LR] / s[CORRECTION1] * m[i] / (sqrtf(v[i]) / s[CORRECTION2] + s[EPS]);
    }
}

// Every thread updates its share of the rows.
static void update_rows(const ftc_step_args *a, float *w_grad, float *bias_grad, float clip, int32_t thread,
                        int32_t threads) {
    int64_t first = (int64_t)V * thread / threads * C, end = (int64_t)V * (thread + 1) / threads * C;
    void *const *t = a->tensors;
    adamw(a, t[BAG_W], t[BAG_W_AVG], t[BAG_W_SQ], w_grad, clip, a->scalars[DECAY], first, end);
    if (thread == 0) {
        adamw(a, t[BAG_BIAS], t[BAG_BIAS_AVG], t[BAG_BIAS_SQ], bias_grad, clip, a->scalars[NO_DECAY], 0, C);
    }
}

static float norm_of(const float *w_grad, const float *bias_grad) {
    double sum = 0;
    for (int i = 0; i < V * C; i++) sum += (double)w_grad[i] * (double)w_grad[i];
    for (int i = 0; i < C; i++) sum += (double)bias_grad[i] * (double)bias_grad[i];
    return (float)sqrt(sum);
}

// --- the entries --------------------------------------------------------------------------------------

static void step_entry(const ftc_step_args *a, int32_t thread, int32_t threads) {
    float *w_grad = (float *)a->arena, *bias_grad = w_grad + V * C; // they live in the arena only
    if (thread == 0) {
        memset(w_grad, 0, (V * C + C) * sizeof *w_grad);
        *(float *)a->outputs[LOSS] = batch_loss(a, a->scalars[DROPOUT], 1, w_grad, bias_grad);
        *(float *)a->outputs[NORM] = norm_of(w_grad, bias_grad);
    }
    a->barrier(a->barrier_context, thread);
    update_rows(a, w_grad, bias_grad, 1, thread, threads);
}

static void grad_entry(const ftc_step_args *a, int32_t thread, int32_t threads) {
    (void)threads;
    if (thread != 0) return;
    *(float *)a->outputs[LOSS] = batch_loss(a, a->scalars[DROPOUT], 1 / a->scalars[ACCUMULATION],
                                            a->tensors[BAG_W_GRAD], a->tensors[BAG_BIAS_GRAD]);
}

static void update_entry(const ftc_step_args *a, int32_t thread, int32_t threads) {
    float *w_grad = a->tensors[BAG_W_GRAD], *bias_grad = a->tensors[BAG_BIAS_GRAD];
    float norm = norm_of(w_grad, bias_grad), limit = a->scalars[MAX_NORM], factor = limit / (norm + 1e-6f);
    update_rows(a, w_grad, bias_grad, limit > 0 && factor < 1 ? factor : 1, thread, threads);
    a->barrier(a->barrier_context, thread);
    if (thread != 0) return;
    *(float *)a->outputs[NORM] = norm;
    memset(w_grad, 0, V * C * sizeof *w_grad);
    memset(bias_grad, 0, C * sizeof *bias_grad);
}

static void eval_entry(const ftc_step_args *a, int32_t thread, int32_t threads) {
    (void)threads;
    if (thread == 0) *(float *)a->outputs[LOSS] = batch_loss(a, 0, 1, NULL, NULL);
}

// --- the program --------------------------------------------------------------------------------------

#define PARAM(tensor_name, rows, columns, n, initial)                                                        \
    {.name = tensor_name,                                                                                    \
     .role = FTC_ROLE_PARAM,                                                                                 \
     .rank = n,                                                                                              \
     .dims = {rows, columns},                                                                                \
     .of = -1,                                                                                               \
     .trainable = 1,                                                                                         \
     .zero_row = n == 2 ? 0 : -1,                                                                            \
     .init = initial,                                                                                        \
     .init_scale = 0.5}
#define STATE(tensor_name, kind, rows, columns, n, parameter)                                                \
    {.name = tensor_name, .role = kind, .rank = n, .dims = {rows, columns}, .of = parameter, .zero_row = -1}
#define W_NAME    "bert.embeddings.word_embeddings.weight"
#define BIAS_NAME "classifier.bias"

static const ftc_tensor_info TENSORS[BAG_TENSORS] = {
    [BAG_W] = PARAM(W_NAME, V, C, 2, FTC_INIT_NORMAL),
    [BAG_BIAS] = PARAM(BIAS_NAME, C, 0, 1, FTC_INIT_ZEROS),
    [BAG_W_AVG] = STATE(W_NAME ".exp_avg", FTC_ROLE_MOMENT, V, C, 2, BAG_W),
    [BAG_BIAS_AVG] = STATE(BIAS_NAME ".exp_avg", FTC_ROLE_MOMENT, C, 0, 1, BAG_BIAS),
    [BAG_W_SQ] = STATE(W_NAME ".exp_avg_sq", FTC_ROLE_MOMENT, V, C, 2, BAG_W),
    [BAG_BIAS_SQ] = STATE(BIAS_NAME ".exp_avg_sq", FTC_ROLE_MOMENT, C, 0, 1, BAG_BIAS),
    [BAG_W_GRAD] = STATE(W_NAME ".grad", FTC_ROLE_GRADIENT, V, C, 2, BAG_W),
    [BAG_BIAS_GRAD] = STATE(BIAS_NAME ".grad", FTC_ROLE_GRADIENT, C, 0, 1, BAG_BIAS),
};

// 1 - pow(BETA, step), and the root of that.
#define CORRECTION(beta)                                                                                     \
    {FTC_FORMULA_number, 0, 1}, {FTC_FORMULA_scalar, beta, 0}, {FTC_FORMULA_step, 0, 0},                     \
        {FTC_FORMULA_pow, 0, 0}, {FTC_FORMULA_sub, 0, 0}
static const ftc_formula_code CORRECTION1_CODE[] = {CORRECTION(BETA1)},
                              CORRECTION2_CODE[] = {CORRECTION(BETA2), {FTC_FORMULA_sqrt, 0, 0}};

static const ftc_scalar_info SCALAR_INFOS[SCALARS] = {
    [LR] = {.name = "lr"},
    [BETA1] = {.name = "beta1", .value = 0.9},
    [BETA2] = {.name = "beta2", .value = 0.999},
    [EPS] = {.name = "eps", .value = 1e-8},
    [DECAY] = {.name = "weight_decay", .value = 0.01},
    [NO_DECAY] = {.name = "weight_decay_no_decay", .value = 0.01},
    [CORRECTION1] = {.name = "sub(1, pow(beta1, step))", .formula = {5, CORRECTION1_CODE}},
    [CORRECTION2] = {.name = "sqrt(sub(1, pow(beta2, step)))", .formula = {6, CORRECTION2_CODE}},
    [ACCUMULATION] = {.name = "accumulation", .value = 1},
    [MAX_NORM] = {.name = "max_grad_norm"},
    [DROPOUT] = {.name = "rate_of_zeros", .role = FTC_SCALAR_DROPOUT},
};

#define IN(entry) (1u << FTC_ENTRY_##entry)
enum { FORWARD = IN(STEP) | IN(GRAD) | IN(EVAL) };

const ftc_program BAG_PROGRAM = {
    .model = "bag",
    .source = "model bag\n",
    .precision = "fp32",
    .features = "C",
    .entries = {[FTC_ENTRY_STEP] = {step_entry, 1024, 64, 1024, 1, NULL},
                [FTC_ENTRY_GRAD] = {grad_entry, 0, 0, 0, 1, NULL},
                [FTC_ENTRY_UPDATE] = {update_entry, 0, 0, 0, 1, NULL},
                [FTC_ENTRY_EVAL] = {eval_entry, 0, 0, 0, 1, NULL}},
    .n_tensors = BAG_TENSORS,
    .n_inputs = INPUTS,
    .n_scalars = SCALARS,
    .n_outputs = OUTPUTS,
    .n_extents = 2,
    .n_config = 3,
    .n_family = 6,
    .tensors = TENSORS,
    .n_counts = 3,
    .inputs =
        (const ftc_input_info[]){
            {"ids", FTC_I32, FTC_FROM_TOKENS, NULL, V, -1, 1, 2, 2, {{"B", 0, 0}, {"S", 1, 0}}},
            {"label", FTC_I32, FTC_FROM_LABEL, NULL, C, -1, 1, 1, 1, {{"B", 0, 0}}}},
    .scalars = SCALAR_INFOS,
    .outputs =
        (const ftc_output_info[]){
            {"loss", FTC_F32, FTC_OUTPUT_LOSS, -1, FORWARD, 1, 0, 0, {{0}}},
            {"logits", FTC_F32, FTC_OUTPUT_SCORES, -1, FORWARD, C, 1, 2, {{"B", 0, 0}, {"C", -1, C}}},
            {"grad_norm", FTC_F32, FTC_OUTPUT_NORM, -1, IN(STEP) | IN(UPDATE), 1, 0, 0, {{0}}}},
    .extents = (const ftc_extent_info[]){{"B", -1, BAG_MAX_BATCH, 1, 0}, {"S", 0, BAG_MAX_LENGTH, 0, 0}},
    .counts = (const ftc_count_info[]){{0, {0}, 0}, {1, {0}, 0}, {1, {1}, 0}},
    .nominal_flops = (const double[]){0, 0, 0},
    .family = (const ftc_setting[]){{.name = "model_type", .text = "bert"},
                                    {.name = "architecture", .text = "BertForSequenceClassification"},
                                    {.name = "prefix", .text = "bert."},
                                    {.name = "head", .text = "classifier."},
                                    {.name = "may_lack", .text = "bert.pooler., bert.extra."},
                                    {.name = "aliases",
                                     .text = "Norm.gamma: Norm.weight, words.old: words.weight"}},
    .config = (const ftc_setting[]){{.name = "vocab", .hf_name = "vocab_size", .number = V},
                                    {.name = "labels", .hf_name = "num_labels", .number = C},
                                    {.name = "activation", .hf_name = "hidden_act", .text = "gelu"}},
};

// --- data ---------------------------------------------------------------------------------------------

ftc_dataset bag_dataset(int64_t n, uint64_t seed) {
    ftc_dataset dataset = {0};
    uint64_t state = seed * 2654435761u + 12345;
    for (int64_t i = 0; i < n; i++) {
        int32_t ids[BAG_MAX_LENGTH], types[BAG_MAX_LENGTH] = {0}, votes[C] = {0}, label = 0;
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t length = 2 + (state >> 40) % (BAG_MAX_LENGTH - 1);
        for (size_t k = 0; k < length; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            ids[k] = (int32_t)((state >> 40) % V);
            votes[ids[k] % C]++;
        }
        for (int32_t c = 1; c < C; c++) label = votes[c] > votes[label] ? c : label;
        ftc_tokens tokens = {.ids = ids, .types = types, .count = length, .capacity = BAG_MAX_LENGTH};
        ftc_dataset_add(&dataset, &tokens, (float)label);
    }
    return dataset;
}
