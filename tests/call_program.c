#include "tests/call_program.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/batch.h"
#include "runtime/loop/guard.h"
#include "runtime/loop/threads.h"
#include "tests/foreign.h"

enum { MOST_BUFFERS = 512 };

struct test_call {
    const ftc_program *program;
    ftc_step_args args;
    ftc_threads *threads;
    ftc_batch batch;                    // its sizes; the inputs are buffers of our own
    char *arena;                        // of a program that is not guarded
    ftc_memory arenas[FTC_ENTRY_COUNT]; // of each entry in a guarded program; else the first is that of all
    void **tensors, **inputs, **outputs;
    float *scalars;
    ftc_memory buffers[MOST_BUFFERS];
    int n_buffers;
};

static void assert_ok(ftc_status status) {
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
}

// Memory with one guarded buffer, full of NaN. Programs that are not guarded do not mind.
static void *map_guarded(size_t bytes, const char *name, ftc_memory *memory) {
    size_t size = 0, at = ftc_memory_place(bytes, true, &size);
    assert_ok(ftc_memory_map(size, name, memory));
    ftc_guard_add(memory->data + at, bytes, name);
    ftc_guard_spoil(memory);
    return memory->data + at;
}

static void *buffer(test_call *c, int64_t bytes, const char *name) {
    cr_assert_lt(c->n_buffers, MOST_BUFFERS);
    return map_guarded((size_t)bytes, name, &c->buffers[c->n_buffers++]);
}

static void *zeroed(int64_t n, size_t size) {
    void *p = calloc((size_t)n + 1, size);
    cr_assert_not_null(p);
    return p;
}

// The values of a declaration in its own type.
static void *converted(test_call *c, const double *x, int64_t n, ftc_dtype dtype, const char *name) {
    void *p = buffer(c, n * ftc_dtype_bytes(dtype), name);
    for (int64_t i = 0; i < n; i++) {
        switch (dtype) {
        case FTC_F32: ((float *)p)[i] = (float)x[i]; break;
        case FTC_I32: ((int32_t *)p)[i] = (int32_t)x[i]; break;
        case FTC_U32: ((uint32_t *)p)[i] = (uint32_t)x[i]; break;
        case FTC_BOOL: ((uint8_t *)p)[i] = x[i] != 0; break;
        case FTC_BF16: cr_assert_fail("no test has bf16 values"); break;
        }
    }
    return p;
}

static void *values_of(test_call *c, const ftc_graph *g, const test_values *v, const char *name) {
    ftc_decl decl = ftc_graph_find_decl(g, name);
    if (decl == FTC_NO_DECL) return NULL;
    const ftc_type *type = &g->decls[decl].type;
    return converted(c, v->tensors[decl], ftc_interp_cells(g, &v->b, &type->axes), type->dtype, name);
}

// The values of an input, in the order of memory.
static void *input_of(test_call *c, const ftc_graph *g, const test_values *v, const char *name) {
    ftc_decl decl = ftc_graph_find_decl(g, name);
    cr_assert_neq(decl, FTC_NO_DECL);
    const ftc_type *type = &g->decls[decl].type;
    double *x = test_interface_cells(g, &v->b, type, v->tensors[decl]);
    void *p = converted(c, x, ftc_interp_cells(g, &v->b, &type->axes), type->dtype, name);
    free(x);
    return p;
}

static int64_t output_cells(const test_call *c, int32_t output) {
    const ftc_output_info *info = &c->program->outputs[output];
    return info->each * (int64_t)c->batch.counts[info->count];
}

static int64_t elements(const ftc_tensor_info *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dims[i];
    return n;
}

// The sizes of the batch: those of the graph's extents, by name.
static void fill_extents(test_call *c, const ftc_graph *g, const test_values *v) {
    const ftc_program *p = c->program;
    int64_t *elements = zeroed(p->n_extents, sizeof *elements);
    const int32_t **lengths = zeroed(p->n_extents, sizeof *lengths);
    for (int32_t i = 0; i < p->n_extents; i++) {
        uint32_t k = 0;
        while (k < g->n_extents &&
               (!g->extents[k].name || strcmp(g->extents[k].name, p->extents[i].name) != 0))
            k++;
        cr_assert_lt(k, g->n_extents);
        elements[i] = g->extents[k].kind == FTC_EXTENT_CONST ? g->extents[k].bound : v->extents[k];
        lengths[i] = v->lengths[k];
        if (v->b.first_slots) c->batch.first_slots[i] = v->b.first_slots[k];
    }
    ftc_status status = ftc_batch_resize(&c->batch, elements, lengths, NULL);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    free(elements);
    free(lengths);
}

static void map_arenas(test_call *c, int32_t threads) {
    int64_t most = 0;
    for (int e = 0; e < FTC_ENTRY_COUNT; e++) {
        const ftc_entry *entry = &c->program->entries[e];
        if (!entry->fn) continue;
        if (c->program->guarded) assert_ok(ftc_guard_map_arena(entry, threads, &c->arenas[e]));
        int64_t bytes = entry->arena_bytes + threads * entry->scratch_bytes;
        if (bytes > most) most = bytes;
    }
    if (!c->program->guarded) c->arena = map_guarded((size_t)most, "the arena", c->arenas);
}

test_call *test_call_new(const ftc_program *program, const ftc_graph *g, const test_values *v,
                         int32_t threads) {
    test_call *c = zeroed(1, sizeof *c);
    c->program = program;
    c->tensors = zeroed(program->n_tensors, sizeof *c->tensors);
    c->inputs = zeroed(program->n_inputs, sizeof *c->inputs);
    c->outputs = zeroed(program->n_outputs, sizeof *c->outputs);
    c->scalars = zeroed(program->n_scalars, sizeof *c->scalars);
    ftc_status status = ftc_threads_create(threads, &c->threads);
    cr_assert_eq(status.code, FTC_OK);
    status = ftc_batch_create(program, &c->batch);
    cr_assert_eq(status.code, FTC_OK, "%s", status.message);
    fill_extents(c, g, v);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        c->tensors[i] = values_of(c, g, v, t->name);
        // What the graph does not know: no moments, no gradient so far, and every row is to be updated.
        int filling = t->role == FTC_ROLE_TOUCHED;
        int64_t bytes = elements(t) * ftc_dtype_bytes(t->dtype);
        if (!c->tensors[i]) c->tensors[i] = memset(buffer(c, bytes, t->name), filling, (size_t)bytes);
    }
    for (int32_t i = 0; i < program->n_inputs; i++) c->inputs[i] = input_of(c, g, v, program->inputs[i].name);
    for (int32_t i = 0; i < program->n_outputs; i++)
        c->outputs[i] = buffer(c, output_cells(c, i) * ftc_dtype_bytes(program->outputs[i].dtype),
                               program->outputs[i].name);
    double *arguments = zeroed(program->n_scalars, sizeof *arguments);
    for (int32_t i = 0; i < program->n_scalars; i++) {
        const ftc_scalar_info *scalar = &program->scalars[i];
        ftc_decl decl = ftc_graph_find_decl(g, scalar->name);
        arguments[i] = decl == FTC_NO_DECL ? scalar->value : v->tensors[decl][0];
        if (scalar->formula.n) arguments[i] = ftc_formula_value(&scalar->formula, arguments, v->b.step);
        c->scalars[i] = (float)arguments[i];
    }
    free(arguments);
    map_arenas(c, threads);
    c->args = (ftc_step_args){
        .tensors = c->tensors,
        .inputs = (const void *const *)c->inputs,
        .outputs = c->outputs,
        .scalars = c->scalars,
        .extents = c->batch.extents,
        .offsets = (const int32_t *const *)c->batch.offsets,
        .prefixes = (const int64_t *const *)c->batch.prefixes,
        .first_slots = c->batch.first_slots,
        .seed = v->b.seed,
        .step = v->b.step,
        .micro_step = v->b.micro_step,
        .barrier = ftc_threads_barrier,
        .barrier_context = c->threads,
        .slice = FTC_ALL_ROWS,
    };
    return c;
}

void test_call_free(test_call *c) {
    for (int i = 0; i < c->n_buffers; i++) ftc_memory_unmap(&c->buffers[i]);
    for (int e = 0; e < FTC_ENTRY_COUNT; e++) ftc_memory_unmap(&c->arenas[e]);
    ftc_batch_free(&c->batch);
    ftc_threads_free(c->threads);
    free(c->tensors);
    free(c->inputs);
    free(c->outputs);
    free(c->scalars);
    free(c);
}

void test_call_use_sgemm(test_call *c, ftc_sgemm_fn *sgemm) {
    c->args.sgemm = sgemm;
}

void test_call_tell(test_call *c, ftc_ready_fn *ready, void *context) {
    c->args.ready = ready;
    c->args.ready_context = context;
}

void test_call_slice(test_call *c, ftc_slice slice, ftc_gather_fn *gather, ftc_await_fn *await,
                     void *context) {
    c->args.slice = slice;
    c->args.gather = gather;
    c->args.await = await;
    c->args.gather_context = context;
}

typedef struct {
    ftc_entry_fn *fn;
    const ftc_step_args *args;
} call;

static void enter(void *context, int32_t thread, int32_t threads) {
    const call *c = context;
    c->fn(c->args, thread, threads);
}

void test_call_run(test_call *c, ftc_entry_kind entry) {
    call what = {c->program->entries[entry].fn, &c->args};
    cr_assert(what.fn);
    c->args.arena = c->arena;
    if (c->program->guarded) {
        ftc_guard_spoil(&c->arenas[entry]);
        c->args.arena = c->arenas[entry].data;
    }
    ftc_threads_run(c->threads, enter, &what);
    assert_ok(ftc_guard_check(ftc_entry_name(entry)));
}

ftc_loaded_program *test_compile(const ftc_graph *source, const ftc_compile_options *options) {
    ftc_diagnostics d = {0};
    ftc_compiled compiled;
    ftc_loaded_program *loaded = NULL;
    ftc_compile_options guarded = *options;
    guarded.guard |= !options->memory_budget_bytes && getenv("FTC_TEST_GUARD");
    if (ftc_compile(source, &guarded, &compiled, &d))
        loaded = options->target && test_is_foreign(options->target)
                     ? test_foreign_take(&compiled, options->target)
                     : ftc_program_take(&compiled, &d);
    cr_assert(loaded, "%s", d.count ? d.list[0].text : "");
    return loaded;
}

const float *test_call_tensor(const test_call *c, const char *name, int64_t *n) {
    for (int32_t i = 0; i < c->program->n_tensors; i++) {
        if (strcmp(c->program->tensors[i].name, name) != 0) continue;
        *n = elements(&c->program->tensors[i]);
        return c->tensors[i];
    }
    cr_assert_fail("the program has no tensor %s", name);
    return NULL;
}

const float *test_call_output(const test_call *c, const char *name, int64_t *n) {
    for (int32_t i = 0; i < c->program->n_outputs; i++) {
        const ftc_output_info *o = &c->program->outputs[i];
        if (strcmp(o->name, name) != 0) continue;
        *n = output_cells(c, i);
        return c->outputs[i];
    }
    cr_assert_fail("the program has no output %s", name);
    return NULL;
}

static double from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

double *test_call_cells(const test_call *c, const char *name, int64_t *n) {
    const void *cells = test_call_output(c, name, n);
    int32_t i = 0;
    while (strcmp(c->program->outputs[i].name, name) != 0) i++;
    double *out = zeroed(*n, sizeof *out);
    for (int64_t k = 0; k < *n; k++) {
        switch (c->program->outputs[i].dtype) {
        case FTC_F32: out[k] = (double)((const float *)cells)[k]; break;
        case FTC_I32: out[k] = ((const int32_t *)cells)[k]; break;
        case FTC_U32: out[k] = ((const uint32_t *)cells)[k]; break;
        case FTC_BOOL: out[k] = ((const uint8_t *)cells)[k]; break;
        case FTC_BF16: out[k] = from_bf16(((const uint16_t *)cells)[k]); break;
        }
    }
    return out;
}
