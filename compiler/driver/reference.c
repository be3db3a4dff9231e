#include "compiler/driver/reference.h"

#include "compiler/compile.h"
#include "compiler/eager/eager.h"
#include "ir/base/alloc.h"
#include "ir/interpret.h"
#include "ir/op.h"
#include "ir/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *allocated(int64_t n, size_t size) {
    void *p = ftc_alloc(n > 0 ? (size_t)n : 1, size);
    return p;
}

ftc_graph *ftc_reference_graph(const ftc_graph *source, ftc_diagnostics *d) {
    ftc_graph *g = ftc_compile_entry_graph(source, FTC_ENTRY_GRAD);
    ftc_pipeline_options pipeline = {.pass = {.entry = FTC_ENTRY_GRAD, .keeps_meanings = true}};
    bool ok = true;
    for (int i = 0; i < ftc_n_passes && ok; i++) {
        ok = ftc_pipeline_run_pass(g, &ftc_passes[i], &pipeline, d);
        if (strcmp(ftc_passes[i].name, "optimizer") == 0) break; // what follows changes how, not what
    }
    ok = ok && ftc_pipeline_run_pass(g, ftc_pass_find("scalars"), &pipeline, d); // in double for all
    if (ok) return g;
    ftc_graph_free(g);
    return NULL;
}

void ftc_gradients_free(ftc_gradients *g) {
    for (int32_t i = 0; i < g->n_tensors; i++) free(g->gradients[i]);
    for (int32_t i = 0; i < g->n_outputs; i++) free(g->outputs[i]);
    free(g->gradients);
    free(g->outputs);
    free(g->cells);
    free(g->faults);
    *g = (ftc_gradients){0};
}

// --- the batch ----------------------------------------------------------------------------------------

// The extents and lengths of a batch, by the extents of a graph.
typedef struct {
    int64_t *extents;
    int32_t **lengths;
    uint32_t n;
} sizes;

static int32_t find_extent(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_extents; i++) {
        if (strcmp(program->extents[i].name, name) == 0) return i;
    }
    return -1;
}

static sizes sizes_of(const ftc_graph *g, const ftc_batch *batch) {
    sizes s = {allocated(g->n_extents, sizeof *s.extents), allocated(g->n_extents, sizeof *s.lengths),
               g->n_extents};
    for (uint32_t i = 0; i < g->n_extents; i++) {
        if (g->extents[i].kind == FTC_EXTENT_CONST) continue;
        int32_t k = find_extent(batch->program, g->extents[i].name);
        if (k < 0) continue; // no entry uses it
        s.extents[i] = batch->extents[k];
        if (g->extents[i].kind != FTC_EXTENT_RAGGED) continue;
        int64_t elements = batch->extents[batch->program->extents[k].ragged_over];
        s.lengths[i] = allocated(elements, sizeof **s.lengths);
        for (int64_t b = 0; b < elements; b++) {
            s.lengths[i][b] = batch->offsets[k][b + 1] - batch->offsets[k][b];
        }
    }
    return s;
}

static void free_sizes(sizes *s) {
    for (uint32_t i = 0; i < s->n; i++) free(s->lengths[i]);
    free(s->lengths);
    free(s->extents);
}

static int32_t find_tensor(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_tensors; i++) {
        if (strcmp(program->tensors[i].name, name) == 0) return i;
    }
    return -1;
}

// The memory that holds a declaration's values; NULL: they are zero, or a scalar.
static const void *memory_of(const ftc_decl_def *decl, const ftc_stepper *stepper, const ftc_batch *batch) {
    const ftc_program *program = stepper->program;
    if (decl->kind == FTC_DECL_PARAM)
        return ftc_model_state_tensor(stepper->state, find_tensor(program, decl->name));
    for (int32_t i = 0; decl->kind == FTC_DECL_INPUT && i < program->n_inputs; i++) {
        if (strcmp(program->inputs[i].name, decl->name) == 0) return batch->inputs[i];
    }
    return NULL;
}

// Copies the cells of an input from the caller's order to packed order. To be freed.
static void *packed_copy(const ftc_graph *g, const ftc_bindings *b, const ftc_type *type, const void *from) {
    size_t size = (size_t)ftc_dtype_bytes(type->dtype);
    char *to = allocated(ftc_interp_cells(g, b, &type->axes), sizeof(float));
    ftc_walk w;
    ftc_walk_begin(&w, g, b, &type->axes, FTC_NO_AXIS);
    int out = ftc_walk_view(&w, &type->axes), in = ftc_walk_interface_view(&w, &type->axes);
    while (ftc_walk_next(&w))
        for (int64_t j = 0; j < w.n; j++)
            memcpy(to + (size_t)(w.at[out] + j * w.step[out]) * size,
                   (const char *)from + (size_t)(w.at[in] + j * w.step[in]) * size, size);
    ftc_walk_end(&w);
    return to;
}

static double number_at(const void *memory, ftc_dtype dtype, int64_t i) {
    switch (dtype) {
    case FTC_F32: return ((const float *)memory)[i];
    case FTC_I32: return ((const int32_t *)memory)[i];
    case FTC_U32: return ((const uint32_t *)memory)[i];
    case FTC_BOOL: return ((const uint8_t *)memory)[i];
    case FTC_BF16: break;
    }
    union {
        uint32_t bits;
        float value;
    } x = {.bits = (uint32_t)((const uint16_t *)memory)[i] << 16};
    return x.value;
}

// One cell of a value in packed order, of a run by one of the ways.
typedef double cell_of(const void *run, const ftc_graph *g, ftc_id id, int64_t cell);

// The cells of the outputs, as the caller gets them; and what those that are checks tell.
static void take_outputs(const ftc_graph *g, const ftc_bindings *b, const ftc_program *program,
                         const void *run, cell_of *cell, ftc_gradients *out) {
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const ftc_output *output = &g->outputs[i];
        int32_t k = 0;
        while (k < out->n_outputs && strcmp(program->outputs[k].name, output->name) != 0) k++;
        if (k == out->n_outputs || !(program->outputs[k].entries & 1u << FTC_ENTRY_GRAD)) continue;
        out->cells[k] = ftc_interp_cells(g, b, &output->order);
        out->outputs[k] = allocated(out->cells[k], sizeof **out->outputs);
        ftc_walk w;
        ftc_walk_begin(&w, g, b, &output->order, FTC_NO_AXIS);
        int from = ftc_walk_view(&w, &g->nodes[output->node].type.axes),
            to = ftc_walk_interface_view(&w, &output->order);
        while (ftc_walk_next(&w))
            for (int64_t j = 0; j < w.n; j++)
                out->outputs[k][w.at[to] + j * w.step[to]] =
                    cell(run, g, output->node, w.at[from] + j * w.step[from]);
        ftc_walk_end(&w);
    }
}

static ftc_gradients new_gradients(const ftc_program *program) {
    return (ftc_gradients){.n_tensors = program->n_tensors,
                           .n_outputs = program->n_outputs,
                           .gradients = allocated(program->n_tensors, sizeof(double *)),
                           .outputs = allocated(program->n_outputs, sizeof(double *)),
                           .cells = allocated(program->n_outputs, sizeof(int64_t)),
                           .faults = allocated(program->n_checks, sizeof(double))};
}

// What the checks tell, which are outputs.
static void take_faults(const ftc_program *program, ftc_gradients *out) {
    for (int32_t i = 0; i < program->n_checks; i++) {
        const double *cells = out->outputs[program->checks[i].output];
        out->faults[i] = cells ? cells[0] : -INFINITY;
    }
}

static ftc_id loss_of(const ftc_graph *g) {
    return ftc_graph_find_output(g, FTC_OUTPUT_LOSS)->node; // differentiate has seen to it that there is one
}

// --- the three ways -----------------------------------------------------------------------------------

static double interpreted_cell(const void *run, const ftc_graph *g, ftc_id id, int64_t cell) {
    (void)g;
    return ftc_interp_value(run, id, NULL)[cell];
}

ftc_gradients ftc_reference_interpret(const ftc_graph *reference, const ftc_stepper *stepper,
                                      const ftc_batch *batch, double noise, uint64_t noise_seed) {
    const ftc_graph *g = reference;
    sizes s = sizes_of(g, batch);
    double **tensors = allocated(g->n_decls, sizeof *tensors);
    ftc_bindings b = {.extents = s.extents,
                      .lengths = (const int32_t *const *)s.lengths,
                      .tensors = tensors,
                      .rounds_scalars = true,
                      .seed = stepper->seed,
                      .step = 1,
                      .noise = noise,
                      .noise_seed = noise_seed};
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        int64_t n = ftc_interp_cells(g, &b, &decl->type.axes);
        const void *memory = memory_of(decl, stepper, batch);
        tensors[i] = allocated(n, sizeof **tensors);
        void *copy = memory && decl->kind == FTC_DECL_INPUT ? packed_copy(g, &b, &decl->type, memory) : NULL;
        for (int64_t k = 0; memory && k < n; k++)
            tensors[i][k] = number_at(copy ? copy : memory, decl->type.dtype, k);
        free(copy);
        if (decl->kind == FTC_DECL_ARG) tensors[i][0] = ftc_stepper_get(stepper, decl->name, decl->value);
    }
    double start = ftc_clock_seconds();
    ftc_interp *in = ftc_interp_new(g, &b);
    ftc_interp_run(in);
    ftc_gradients out = new_gradients(stepper->program);
    out.loss = ftc_interp_value(in, loss_of(g), NULL)[0];
    out.seconds = ftc_clock_seconds() - start;
    take_outputs(g, &b, stepper->program, in, interpreted_cell, &out);
    take_faults(stepper->program, &out);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        if (g->decls[i].kind == FTC_DECL_GRADIENT) {
            out.gradients[find_tensor(stepper->program, g->decls[g->decls[i].of].name)] = tensors[i];
        } else {
            free(tensors[i]);
        }
    }
    ftc_interp_free(in);
    free(tensors);
    free_sizes(&s);
    return out;
}

static double *as_doubles(const float *x, int64_t n) {
    double *copy = allocated(n, sizeof *copy);
    for (int64_t i = 0; i < n; i++) copy[i] = x[i];
    return copy;
}

// What an eager run of a batch reads.
typedef struct {
    sizes sizes;
    void **tensors, **own; // [n_decls]; own: those to be freed
    ftc_eager_bindings bindings;
} eager_call;

static eager_call begin_eager(const ftc_graph *g, const ftc_stepper *stepper, const ftc_batch *batch,
                              ftc_sgemm_fn *sgemm, uint32_t step) {
    eager_call c = {sizes_of(g, batch),
                    allocated(g->n_decls, sizeof *c.tensors),
                    allocated(g->n_decls, sizeof *c.own),
                    {0}};
    const ftc_bindings walk = {.extents = c.sizes.extents,
                               .lengths = (const int32_t *const *)c.sizes.lengths};
    double *arguments =
        allocated(g->n_decls, sizeof *arguments); // they come before what is computed from them
    for (uint32_t i = 0; i < g->n_decls; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        c.tensors[i] = (void *)memory_of(decl, stepper, batch); // read only: gradients alone are assigned
        if (c.tensors[i] && decl->kind == FTC_DECL_INPUT)
            c.tensors[i] = c.own[i] = packed_copy(g, &walk, &decl->type, c.tensors[i]);
        if (!c.tensors[i])
            c.tensors[i] = c.own[i] = allocated(ftc_interp_cells(g, &walk, &decl->type.axes), sizeof(float));
        if (decl->kind == FTC_DECL_ARG) arguments[i] = ftc_stepper_get(stepper, decl->name, decl->value);
        if (decl->kind == FTC_DECL_ARG) *(float *)c.own[i] = (float)arguments[i];
        if (decl->kind == FTC_DECL_SCALAR)
            *(float *)c.own[i] = (float)ftc_formula_value(&decl->formula, arguments, step);
    }
    free(arguments);
    c.bindings = (ftc_eager_bindings){.extents = walk.extents,
                                      .lengths = walk.lengths,
                                      .tensors = c.tensors,
                                      .seed = stepper->seed,
                                      .step = step,
                                      .sgemm = sgemm};
    return c;
}

static void end_eager(const ftc_graph *g, eager_call *c) {
    for (uint32_t i = 0; i < g->n_decls; i++) free(c->own[i]);
    free(c->own);
    free(c->tensors);
    free_sizes(&c->sizes);
}

static double eager_cell(const void *run, const ftc_graph *g, ftc_id id, int64_t cell) {
    const ftc_cell *x = ftc_eager_value(run, id, NULL) + cell;
    ftc_dtype dtype = g->nodes[id].type.dtype;
    return ftc_dtype_is_float(dtype) ? (double)x->f : dtype == FTC_U32 ? (double)(uint32_t)x->i : x->i;
}

ftc_gradients ftc_reference_eager(const ftc_graph *reference, const ftc_stepper *stepper,
                                  const ftc_batch *batch, ftc_sgemm_fn *sgemm) {
    const ftc_graph *g = reference;
    eager_call c = begin_eager(g, stepper, batch, sgemm, 1);
    double start = ftc_clock_seconds();
    ftc_eager *e = ftc_eager_new(g, &c.bindings);
    ftc_eager_run(e);
    const ftc_bindings walk = {.extents = c.bindings.extents, .lengths = c.bindings.lengths};
    ftc_gradients out = new_gradients(stepper->program);
    out.loss = (double)ftc_eager_value(e, loss_of(g), NULL)->f;
    out.seconds = ftc_clock_seconds() - start;
    take_outputs(g, &walk, stepper->program, e, eager_cell, &out);
    take_faults(stepper->program, &out);
    for (uint32_t i = 0; i < g->n_decls; i++) {
        if (g->decls[i].kind != FTC_DECL_GRADIENT) continue;
        out.gradients[find_tensor(stepper->program, g->decls[g->decls[i].of].name)] =
            as_doubles(c.own[i], ftc_interp_cells(g, &walk, &g->decls[i].type.axes));
    }
    ftc_eager_free(e);
    end_eager(g, &c);
    return out;
}

// Whom ftc_reference_find_not_finite asks, and what it found.
typedef struct {
    const ftc_graph *g;
    const ftc_eager_bindings *bindings;
    ftc_not_finite *found;
} search;

// The coordinates of a cell, in the order of `found->axes`.
static void locate_cell(const search *s, int64_t cell, ftc_not_finite *found) {
    const ftc_bindings b = {.extents = s->bindings->extents, .lengths = s->bindings->lengths};
    const ftc_axes *axes = &s->g->nodes[found->node].type.axes;
    if (axes->n == 0) return;
    ftc_walk w;
    ftc_walk_begin(&w, s->g, &b, axes, FTC_NO_AXIS);
    int view = ftc_walk_view(&w, axes);
    while (ftc_walk_next(&w)) {
        int64_t past = cell - w.at[view];
        if (past < 0 || past % w.step[view] || past / w.step[view] >= w.n) continue;
        found->axes = w.axes;
        memcpy(found->coordinate, w.coordinate, sizeof found->coordinate);
        found->coordinate[w.axes.n - 1] += past / w.step[view];
        break;
    }
    ftc_walk_end(&w);
}

static bool look_at(void *context, ftc_id id, const ftc_cell *cells, int64_t n) {
    search *s = context;
    const ftc_node *node = &s->g->nodes[id];
    // An inf that was written is meant.
    if (!ftc_dtype_is_float(node->type.dtype) || ftc_node_class(node) == FTC_CLASS_SOURCE) return true;
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(cells[i].f)) continue;
        *s->found = (ftc_not_finite){.node = id, .value = (double)cells[i].f};
        locate_cell(s, i, s->found);
        return false;
    }
    return true;
}

bool ftc_reference_find_not_finite(const ftc_graph *reference, const ftc_stepper *stepper,
                                   const ftc_batch *batch, ftc_sgemm_fn *sgemm, uint32_t step,
                                   uint32_t micro_step, ftc_not_finite *out) {
    ftc_not_finite found = {0};
    eager_call c = begin_eager(reference, stepper, batch, sgemm, step);
    search s = {reference, &c.bindings, &found};
    c.bindings.micro_step = micro_step;
    c.bindings.visit = look_at;
    c.bindings.context = &s;
    ftc_eager *e = ftc_eager_new(reference, &c.bindings);
    ftc_eager_run(e);
    ftc_eager_free(e);
    end_eager(reference, &c);
    if (found.node) *out = found;
    return found.node != 0;
}

ftc_gradients ftc_reference_compiled(ftc_stepper *stepper, const ftc_batch *batch) {
    const ftc_program *program = stepper->program;
    double start = ftc_clock_seconds();
    ftc_status status = ftc_stepper_call(stepper, FTC_ENTRY_GRAD, batch, 1, 0);
    ftc_status_free(&status); // `faults` tells the same
    ftc_gradients out = new_gradients(program);
    out.seconds = ftc_clock_seconds() - start;
    out.loss = (double)*ftc_stepper_result(stepper, FTC_OUTPUT_LOSS, FTC_ENTRY_GRAD);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *t = &program->tensors[i];
        if (t->role == FTC_ROLE_GRADIENT)
            out.gradients[t->of] =
                as_doubles(ftc_model_state_tensor(stepper->state, i), ftc_tensor_elements(t));
    }
    for (int32_t i = 0; i < program->n_outputs; i++) {
        const ftc_output_info *output = &program->outputs[i];
        if (!(output->entries & 1u << FTC_ENTRY_GRAD)) continue;
        out.cells[i] = output->each * (int64_t)batch->counts[output->count];
        out.outputs[i] = allocated(out.cells[i], sizeof **out.outputs);
        for (int64_t k = 0; k < out.cells[i]; k++)
            out.outputs[i][k] = number_at(stepper->outputs[i], output->dtype, k);
    }
    take_faults(program, &out);
    return out;
}
