// ftc verify: interpreter, eager and compiled code side by side on one batch.
#include "compiler/driver/blas.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/data.h"
#include "compiler/driver/model.h"
#include "compiler/driver/reference.h"
#include "compiler/driver/synthetic.h"
#include "ir/base/alloc.h"
#include "runtime/files.h"
#include "runtime/loop/metrics.h"
#include "runtime/hub/safetensors.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The largest differences allowed. Of a gradient: norm of the difference over the norm, or over a share of
// the largest gradient's norm where its own is smaller: what is zero but for rounding (a key's bias) has no
// relative error.
typedef struct {
    double loss, gradient, smallest_share;
    double flipped; // cells of an output of integers or bools
    double noise;   // how far off one computed value may be, as a share of itself
} tolerances;

// bf16 has 8 bits: a rounding is off by at most 2^-8 = 0.4 %, and a gradient comes through two dozen of them
// in each of BERT's layers.
static const tolerances FP32 = {1e-5, 1e-4, 1e-3, 1e-2, 0x1p-22}, BF16 = {1e-2, 5e-2, 1e-2, 5e-2, 0x1p-8};

// What differs by more is held to what rounding does to these very values (Monte Carlo arithmetic, Parker
// 1997): the interpreter runs again so often, each computed value off by its noise, and the difference may be
// so many times that of those runs.
enum { NOISY_RUNS = 2, NOISE_FACTOR = 4 };

// The interpreter does about so many floating-point operations a second; it is left out where it would take
// minutes.
static const double INTERPRETER_FLOPS = 2e8, LONGEST_SECONDS = 60;

typedef struct {
    int64_t seed, threads;
    double dropout; // of all kinds; -1: as the model says
    const char *dump_grads;
    bool full, json;
} verify_flags;

typedef struct {
    verify_flags flags;
    ftc_model_options model;
    ftc_data_options data;
} verify_options;

#define FIELD(name) offsetof(verify_flags, name)
static const ftc_option OPTIONS[] = {
    {"seed", NULL, FTC_OPTION_SEED, FIELD(seed), "N", 0, "of new weights and of dropout"},
    {"threads", NULL, FTC_OPTION_INT, FIELD(threads), "N", 1, "threads; one a processor unless set"},
    {"dropout", NULL, FTC_OPTION_PROBABILITY, FIELD(dropout), "P", 0,
     "every dropout probability, instead of the model's"},
    {"dump-grads", NULL, FTC_OPTION_TEXT, FIELD(dump_grads), "FILE", 0,
     "write the compiled gradients, without dropout, as safetensors"},
    {"full", NULL, FTC_OPTION_FLAG, FIELD(full), NULL, 0, "run the interpreter even where it takes minutes"},
    {"json", NULL, FTC_OPTION_FLAG, FIELD(json), NULL, 0, "print one JSON object"},
    {0},
};
#undef FIELD

// What a verification holds; all of it is freed at the end however far it came.
typedef struct {
    ftc_model_source source;
    ftc_graph *reference;
    ftc_model model;
    ftc_threads *threads;
    ftc_model_state state;
    ftc_stepper stepper;
    ftc_batch batch;
    ftc_training_data data;
} verification;

enum { INTERPRET, EAGER, COMPILED, N_WAYS };
static const char *const WAY_NAMES[N_WAYS] = {"interpret", "eager", "compiled"};

// --- the batch ----------------------------------------------------------------------------------------

// A few short sequences.
static ftc_status make_batch(verification *v, const verify_options *o) {
    int64_t few = 3 * v->batch.texts_per_row, most = v->batch.max_sequences;
    int64_t n = o->model.batch ? o->model.batch : most < few ? most : few;
    const ftc_synthetic sizes = {
        .sequences = n ? n : few, .length = 12, .varied = true, .seed = (uint64_t)o->flags.seed};
    return ftc_synthetic_fill(&v->batch, &sizes);
}

// The first examples of the file in its order, as many as a batch holds, or a synthetic batch.
static ftc_status fill_batch(verification *v, verify_options *o) {
    const ftc_program *program = v->model.program;
    FTC_RETURN_IF_ERROR(ftc_batch_create(program, &v->batch));
    if (!o->data.train) return make_batch(v, o);
    if (!o->data.tokenizer) o->data.tokenizer = program->pretrained;
    if (!o->data.tokenizer)
        o->data.tokenizer = ftc_setting_text(program->train, program->n_train, "tokenizer");
    FTC_RETURN_IF_ERROR(ftc_data_read(program, &o->data, program->pretrained, v->threads, &v->data));
    int64_t n = v->data.train.n < v->batch.max_rows ? v->data.train.n : v->batch.max_rows;
    int64_t *order = ftc_alloc((size_t)(n + 1), sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    ftc_status status = ftc_batch_fill(&v->batch, &v->data.train, order, n);
    free(order);
    return status;
}

// --- running ------------------------------------------------------------------------------------------

static ftc_status prepare(verification *v, verify_options *o) {
    const ftc_program *program = v->model.program;
    const uint32_t entries = 1u << FTC_ENTRY_GRAD;
    int32_t threads = o->flags.threads ? (int32_t)o->flags.threads : ftc_threads_available();
    ftc_sgemm_fn *sgemm = NULL;
    FTC_RETURN_IF_ERROR(ftc_threads_create(threads, &v->threads));
    FTC_RETURN_IF_ERROR(fill_batch(v, o));
    FTC_RETURN_IF_ERROR(ftc_model_state_create(program, entries, &ftc_world_alone, &v->state));
    if (program->pretrained) {
        ftc_load_report report;
        FTC_RETURN_IF_ERROR(
            ftc_model_state_load(&v->state, program->pretrained, (uint64_t)o->flags.seed, &report));
        ftc_load_report_free(&report);
    } else {
        ftc_model_state_init(&v->state, (uint64_t)o->flags.seed);
    }
    if (program->needs_sgemm) FTC_RETURN_IF_ERROR(ftc_blas_open(&sgemm));
    FTC_RETURN_IF_ERROR(ftc_stepper_create(program, &v->state, v->threads, entries, sgemm, &v->stepper));
    v->stepper.seed = (uint64_t)o->flags.seed;
    double dropout = o->flags.dump_grads ? 0 : o->flags.dropout;
    return dropout >= 0 ? ftc_stepper_set_dropout(&v->stepper, dropout) : FTC_STATUS_OK;
}

// Runs what can be run; the others stay empty (gradients NULL).
static void run_all(verification *v, const verify_options *o, ftc_gradients ways[N_WAYS]) {
    const ftc_program *program = v->model.program;
    double flops = ftc_program_cost(program, program->nominal_flops, v->batch.counts);
    double seconds = flops / INTERPRETER_FLOPS;
    if (o->flags.full || seconds <= LONGEST_SECONDS) {
        ways[INTERPRET] = ftc_reference_interpret(v->reference, &v->stepper, &v->batch, 0, 0);
    } else {
        fprintf(stderr, "the interpreter is left out: it would take about %.0f minutes (--full runs it)\n",
                seconds / 60);
    }
    ftc_sgemm_fn *sgemm = NULL;
    ftc_status status = ftc_blas_open(&sgemm);
    if (status.code == FTC_OK) {
        ways[EAGER] = ftc_reference_eager(v->reference, &v->stepper, &v->batch, sgemm);
    } else {
        fprintf(stderr, "eager is left out: %s\n", status.message);
        ftc_status_free(&status);
    }
    ways[COMPILED] = ftc_reference_compiled(&v->stepper, &v->batch);
}

// --- comparing ----------------------------------------------------------------------------------------

typedef enum { LOSS, GRADIENT, OUTPUT, N_KINDS } kind_of_quantity;
static const char *const KIND_NAMES[N_KINDS] = {"loss", "gradient of ", "output "};

// One of the things that are compared.
typedef struct {
    kind_of_quantity kind;
    const char *name;                     // of the parameter or output; "" for the loss
    double difference, allowed, rounding; // rounding: how far it alone moves the quantity; 0: nobody asked
} quantity;

typedef struct {
    quantity *items; // the loss, then the gradients, then the outputs; the same ones for every way
    int n;
} comparison;

static double norm_of(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = x[i] - (y ? y[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

// The loss is compared by itself, and so is what checks tell.
static bool is_compared(const ftc_output_info *output) {
    return output->role != FTC_OUTPUT_LOSS && output->role != FTC_OUTPUT_FAULT;
}

// How far an output is from the right one: numbers by the norm of the difference over the norm, integers and
// bools by the share of cells that differ.
static double output_difference(const ftc_output_info *output, const double *right, const double *other,
                                int64_t n) {
    if (ftc_dtype_is_float(output->dtype)) {
        double difference = norm_of(right, other, n);
        return difference == 0 ? 0 : difference / fmax(norm_of(right, NULL, n), 1e-30);
    }
    int64_t differ = 0;
    for (int64_t i = 0; i < n; i++) differ += right[i] != other[i];
    return n ? (double)differ / (double)n : 0;
}

static double allowed_for(const tolerances *allowed, const ftc_output_info *output) {
    bool real = ftc_dtype_is_float(output->dtype);
    return real ? allowed->gradient : allowed->flipped;
}

static void compare_gradients(const ftc_program *program, const ftc_gradients *right,
                              const ftc_gradients *other, const tolerances *allowed, comparison *out) {
    double largest = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (!right->gradients[i]) continue;
        largest =
            fmax(largest, norm_of(right->gradients[i], NULL, ftc_tensor_elements(&program->tensors[i])));
    }
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (!right->gradients[i]) continue;
        int64_t n = ftc_tensor_elements(&program->tensors[i]);
        double norm = fmax(norm_of(right->gradients[i], NULL, n), allowed->smallest_share * largest);
        double difference = norm_of(right->gradients[i], other->gradients[i], n);
        out->items[out->n++] = (quantity){.kind = GRADIENT,
                                          .name = program->tensors[i].name,
                                          .difference = difference == 0 ? 0 : difference / norm,
                                          .allowed = allowed->gradient};
    }
}

static comparison compare(const ftc_program *program, const ftc_gradients *right, const ftc_gradients *other,
                          const tolerances *allowed) {
    comparison c = {
        .items = ftc_alloc((size_t)program->n_tensors + (size_t)program->n_outputs + 1, sizeof *c.items)};
    c.items[c.n++] =
        (quantity){.kind = LOSS,
                   .name = "",
                   .difference = fabs(other->loss - right->loss) / fmax(fabs(right->loss), 1e-30),
                   .allowed = allowed->loss};
    compare_gradients(program, right, other, allowed, &c);
    for (int32_t i = 0; i < program->n_outputs; i++) {
        const ftc_output_info *output = &program->outputs[i];
        if (!right->outputs[i] || !is_compared(output)) continue;
        c.items[c.n++] = (quantity){
            .kind = OUTPUT,
            .name = output->name,
            .difference = output_difference(output, right->outputs[i], other->outputs[i], right->cells[i]),
            .allowed = allowed_for(allowed, output)};
    }
    return c;
}

static bool is_close(const quantity *q) { // false for a NaN
    return q->difference <= fmax(q->allowed, NOISE_FACTOR * q->rounding);
}

static bool all_close(const comparison *c) {
    for (int i = 0; i < c->n; i++)
        if (!is_close(&c->items[i])) return false;
    return true;
}

// The one of a kind that is furthest beyond what is allowed, a NaN before all; NULL: there is none of it.
static const quantity *worst_of(const comparison *c, kind_of_quantity kind) {
    const quantity *worst = NULL;
    for (int i = 0; i < c->n; i++) {
        const quantity *q = &c->items[i];
        if (q->kind != kind) continue;
        if (!worst || isnan(q->difference) || q->difference / q->allowed > worst->difference / worst->allowed)
            worst = q;
    }
    return worst;
}

// How far rounding alone moves each quantity.
static void find_rounding(const verification *v, const ftc_gradients *right, const tolerances *allowed,
                          comparison *c) {
    for (int run = 1; run <= NOISY_RUNS; run++) {
        ftc_gradients moved =
            ftc_reference_interpret(v->reference, &v->stepper, &v->batch, allowed->noise, (uint64_t)run);
        comparison by = compare(v->model.program, right, &moved, allowed);
        for (int i = 0; i < c->n; i++)
            c->items[i].rounding = fmax(c->items[i].rounding, by.items[i].difference);
        free(by.items);
        ftc_gradients_free(&moved);
    }
}

// --- telling ------------------------------------------------------------------------------------------

// The worst of each kind, and what is beyond its tolerance and why it may be.
static void print_verdict(const char *way, const comparison *c) {
    for (int kind = 0; kind < N_KINDS; kind++) {
        const quantity *worst = worst_of(c, kind);
        if (worst)
            printf("%s: %s%s%s %.2e (at most %g)\n", way, kind == LOSS ? "" : "furthest, ", KIND_NAMES[kind],
                   worst->name, worst->difference, worst->allowed);
    }
    for (int i = 0; i < c->n; i++) {
        const quantity *q = &c->items[i];
        if (q->rounding == 0 || q->difference <= q->allowed) continue;
        printf("%s: %s%s differs by %.2e; rounding alone moves it by up to %.2e, so %.2e %s allowed\n", way,
               KIND_NAMES[q->kind], q->name, q->difference, q->rounding, NOISE_FACTOR * q->rounding,
               is_close(q) ? "is" : "would be");
    }
}

static void print_text(const verification *v, const ftc_gradients *ways, const comparison *found, int right) {
    const ftc_program *program = v->model.program;
    char *sizes = ftc_synthetic_sizes(&v->batch);
    printf("%s: ", program->model);
    if (v->batch.rows.tokens >= 0) printf("%lld sequences, ", (long long)v->batch.sequences);
    printf("%s\n", sizes);
    free(sizes);
    const comparison *any = NULL;
    for (int w = 0; w < N_WAYS; w++) {
        if (!ways[w].gradients) continue;
        printf("  %-10s loss %.9g in %.3f s\n", WAY_NAMES[w], ways[w].loss, ways[w].seconds);
        if (w > right) any = &found[w];
    }
    printf("relative differences to %s:\n", WAY_NAMES[right]);
    for (int w = right + 1; w < N_WAYS; w++) printf("  %9s", ways[w].gradients ? WAY_NAMES[w] : "");
    printf("\n");
    for (int i = 0; any && i < any->n; i++) {
        for (int w = right + 1; w < N_WAYS; w++)
            printf("  %9.2e", ways[w].gradients ? found[w].items[i].difference : 0);
        printf("  %s%s\n", any->items[i].kind == GRADIENT ? "" : KIND_NAMES[any->items[i].kind],
               any->items[i].name);
    }
    for (int w = right + 1; w < N_WAYS; w++)
        if (ways[w].gradients) print_verdict(WAY_NAMES[w], &found[w]);
}

static void print_json(const verification *v, const ftc_gradients *ways, const comparison *found, int right,
                       bool ok) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddBoolToObject(object, "passed", ok);
    cJSON_AddNumberToObject(object, "sequences", (double)v->batch.sequences);
    cJSON_AddNumberToObject(object, "tokens", (double)v->batch.tokens);
    cJSON_AddStringToObject(object, "reference", WAY_NAMES[right]);
    for (int w = right; w < N_WAYS; w++) {
        if (!ways[w].gradients) continue;
        cJSON *way = cJSON_AddObjectToObject(object, WAY_NAMES[w]);
        cJSON_AddNumberToObject(way, "loss", ways[w].loss);
        cJSON_AddNumberToObject(way, "seconds", ways[w].seconds);
        if (w == right) continue;
        cJSON *of[N_KINDS] = {[LOSS] = way,
                              [GRADIENT] = cJSON_AddObjectToObject(way, "gradient_differences"),
                              [OUTPUT] = cJSON_AddObjectToObject(way, "output_differences")};
        cJSON *rounding = NULL; // of what it was asked for
        for (int i = 0; i < found[w].n; i++) {
            const quantity *q = &found[w].items[i];
            const char *name = q->kind == LOSS ? "loss_difference" : q->name;
            cJSON_AddNumberToObject(of[q->kind], name, q->difference);
            if (q->rounding == 0 || q->difference <= q->allowed) continue;
            if (!rounding) rounding = cJSON_AddObjectToObject(way, "moved_by_rounding");
            cJSON_AddNumberToObject(rounding, name, q->rounding);
        }
    }
    char *line = ftc_metrics_line(object);
    puts(line);
    free(line);
    cJSON_Delete(object);
}

// Divides what the entry grad has added up by what its loss weighed, as update does.
static void unweigh(float *gradient, int64_t n, double weight) {
    for (int64_t i = 0; weight > 0 && i < n; i++) gradient[i] = (float)((double)gradient[i] / weight);
}

// The gradients under their parameters' names.
static ftc_status dump_gradients(const verification *v, const char *path) {
    const ftc_program *program = v->model.program;
    double weight = ftc_program_weighs_loss(program) ? v->stepper.window_weight : 1;
    ftc_safetensor *tensors = ftc_alloc((size_t)program->n_tensors + 1, sizeof *tensors);
    int32_t n = 0;
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->role != FTC_ROLE_GRADIENT) continue;
        unweigh(ftc_model_state_tensor(&v->state, i), ftc_tensor_elements(t), weight);
        tensors[n] = (ftc_safetensor){.name = program->tensors[t->of].name,
                                      .dtype = FTC_SAFE_F32,
                                      .rank = t->rank,
                                      .data = ftc_model_state_tensor(&v->state, i)};
        memcpy(tensors[n++].dims, t->dims, (size_t)t->rank * sizeof *t->dims);
    }
    ftc_status status = ftc_safetensors_write(path, tensors, n);
    free(tensors);
    return status;
}

// Compares all that ran with the first that did; the exit status.
static int report(const verification *v, const ftc_gradients ways[N_WAYS], bool json) {
    int right = 0;
    while (!ways[right].gradients) right++;
    comparison found[N_WAYS] = {0};
    bool ok = true;
    for (int w = right + 1; w < N_WAYS; w++) {
        if (!ways[w].gradients) continue;
        bool bf16 = w == COMPILED && strcmp(v->model.program->precision, "bf16") == 0; // others know no other
        const tolerances *allowed = bf16 ? &BF16 : &FP32;
        for (int32_t i = 0; i < v->model.program->n_checks; i++) {
            if (ways[w].faults[i] == ways[right].faults[i]) continue;
            fprintf(stderr, "ftc verify: %s finds another index outside of axis %s than %s\n", WAY_NAMES[w],
                    v->model.program->checks[i].axis, WAY_NAMES[right]);
            ok = false;
        }
        found[w] = compare(v->model.program, &ways[right], &ways[w], allowed);
        if (!all_close(&found[w]) && right == INTERPRET) find_rounding(v, &ways[right], allowed, &found[w]);
        ok &= all_close(&found[w]);
    }
    if (json)
        print_json(v, ways, found, right, ok);
    else
        print_text(v, ways, found, right);
    for (int w = 0; w < N_WAYS; w++) free(found[w].items);
    if (!ok && !isfinite(ways[right].loss))
        fprintf(
            stderr,
            "ftc verify: the loss of these values is %g, so that nothing can be compared; values that the "
            "model is meant for: --train FILE\n",
            ways[right].loss);
    else if (!ok)
        fprintf(stderr, "ftc verify: they differ by more than rounding explains\n");
    return ok ? FTC_EXIT_OK : FTC_EXIT_FAILED;
}

// --- the command --------------------------------------------------------------------------------------

static bool compile_model(const char *path, const verify_options *o, verification *v) {
    ftc_diagnostics d = {0};
    ftc_compiled compiled;
    if (ftc_model_read(path, &o->model, &v->source, &d) &&
        (v->reference = ftc_reference_graph(v->source.graph, &d)) &&
        ftc_model_compile(&v->source, &o->model, 1u << FTC_ENTRY_GRAD, &compiled, &d)) {
        v->model.loaded = ftc_program_take(&compiled, &d);
    }
    if (!v->model.loaded) {
        ftc_diag_report("verify", &d);
        return false;
    }
    v->model.program = ftc_program_of(v->model.loaded);
    return true;
}

static int verify(const ftc_command *self, const char *path, verify_options *o, verification *v) {
    if (!compile_model(path, o, v)) return FTC_EXIT_USAGE;
    ftc_status status = prepare(v, o);
    if (status.code != FTC_OK) return ftc_status_report(self->name, status);
    ftc_gradients ways[N_WAYS] = {0};
    run_all(v, o, ways);
    int code = report(v, ways, o->flags.json);
    status = ftc_stepper_find_fault(&v->stepper, FTC_ENTRY_GRAD);
    if (status.code != FTC_OK && code == FTC_EXIT_OK) code = ftc_status_report(self->name, status);
    for (int w = 0; w < N_WAYS; w++) ftc_gradients_free(&ways[w]);
    if (o->flags.dump_grads) {
        status = dump_gradients(v, o->flags.dump_grads);
        if (status.code != FTC_OK) code = ftc_status_report(self->name, status);
    }
    return code;
}

static void free_verification(verification *v) {
    ftc_stepper_free(&v->stepper);
    ftc_model_state_free(&v->state);
    ftc_batch_free(&v->batch);
    ftc_training_data_free(&v->data);
    ftc_threads_free(v->threads);
    if (v->reference) ftc_graph_free(v->reference);
    ftc_model_source_free(&v->source);
    ftc_model_close(&v->model);
}

int ftc_command_verify(const ftc_command *self, int argc, char **argv) {
    verify_options o = {.flags = {.seed = 1, .dropout = -1},
                        .model = ftc_model_options_default(),
                        .data = ftc_data_options_default()};
    ftc_option_group groups[] = {
        {"What is compared", OPTIONS, &o.flags},
        {"The model", ftc_model_option_table, &o.model},
        {"Its weights", ftc_weights_option_table, &o.model},
        {"The batch: the first rows of a file, or synthetic", ftc_rows_option_table, &o.data},
        {"Columns", ftc_column_option_table, &o.data},
        {0}};
    ftc_text_list models = {0};
    verification v = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &models);
    int code = ftc_cli_exit(parsed);
    if (parsed == FTC_CLI_OK && (models.n > 1 || (!models.n && !o.model.pretrained)))
        code = ftc_cli_error(self->name,
                             "expected one model, as in: ftc verify models/bert-cls.ir; or --pretrained DIR");
    else if (parsed == FTC_CLI_OK && o.flags.dump_grads &&
             !ftc_file_can_be_written(o.flags.dump_grads, false))
        code = ftc_cli_error(self->name, "--dump-grads %s: cannot write there: %s", o.flags.dump_grads,
                             strerror(errno));
    else if (parsed == FTC_CLI_OK)
        code = verify(self, models.n ? models.items[0] : NULL, &o, &v);
    free_verification(&v);
    ftc_text_list_free(&models);
    ftc_model_options_free(&o.model);
    return code;
}
