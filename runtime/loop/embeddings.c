#include "runtime/loop/embeddings.h"

#include "ir/base/alloc.h"
#include "runtime/loop/memory.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    int32_t table, touched, by, output; // parameter, flags, input, factors: indices into the program's lists
    int64_t rows, width;
    float *factors; // [n_factors] of the updates so far, but for those that were 1
    size_t n_factors, capacity;
    size_t *applied; // [rows] how many of them an untouched row has been multiplied by
} table;

struct ftc_embeddings {
    const ftc_program *program;
    void *const *tensors;
    table *list;
    int32_t n;
};

static int32_t find_factors(const ftc_program *program, int32_t table) {
    for (int32_t i = 0; i < program->n_outputs; i++) {
        if (program->outputs[i].role == FTC_OUTPUT_FACTOR && program->outputs[i].of == table) return i;
    }
    ftc_fault("table %d has no factor of its untouched rows", (int)table);
}

static int is_moment_of(const ftc_program *program, int32_t index, int32_t table) {
    return program->tensors[index].role == FTC_ROLE_MOMENT && program->tensors[index].of == table;
}

ftc_embeddings *ftc_embeddings_new(const ftc_program *program, void *const *tensors) {
    ftc_embeddings *tables = ftc_alloc(1, sizeof *tables);
    *tables = (ftc_embeddings){.program = program, .tensors = tensors};
    tables->list = ftc_alloc((size_t)program->n_tensors + 1, sizeof *tables->list);
    for (int32_t i = 0; i < program->n_tensors; i++) {
        const ftc_tensor_info *info = &program->tensors[i];
        if (info->role != FTC_ROLE_TOUCHED || !tensors[i]) continue;
        const ftc_tensor_info *of = &program->tensors[info->of];
        table *t = &tables->list[tables->n++];
        *t = (table){.table = info->of,
                     .touched = i,
                     .by = info->by,
                     .output = find_factors(program, info->of),
                     .rows = of->dims[0],
                     .width = of->dims[1]};
        t->applied = ftc_alloc((size_t)t->rows, sizeof *t->applied);
        for (int32_t k = 0; k < program->n_tensors; k++) { // untouched rows have none
            if (is_moment_of(program, k, t->table))
                ftc_memory_use_small_pages(tensors[k], (size_t)(t->rows * t->width) * sizeof(float));
        }
    }
    return tables;
}

void ftc_embeddings_free(ftc_embeddings *tables) {
    if (!tables) return;
    for (int32_t i = 0; i < tables->n; i++) {
        free(tables->list[i].factors);
        free(tables->list[i].applied);
    }
    free(tables->list);
    free(tables);
}

// Multiplies an untouched row by the factors that it has not seen yet.
static void bring_up_to_date(const ftc_embeddings *tables, table *t, int64_t row) {
    float *weights = (float *)tables->tensors[t->table] + row * t->width;
    for (size_t k = t->applied[row]; k < t->n_factors; k++) {
        float factor = t->factors[k];
        for (int64_t i = 0; i < t->width; i++) weights[i] *= factor;
    }
    t->applied[row] = t->n_factors;
}

// Brings a row up to date unless it is touched; with `touch`, leaves it to the updates from now on.
static void read_row(const ftc_embeddings *tables, table *t, int64_t row, bool touch) {
    uint8_t *touched = tables->tensors[t->touched];
    if (touched[row]) return;
    bring_up_to_date(tables, t, row);
    touched[row] = touch;
}

void ftc_embeddings_read(ftc_embeddings *tables, const ftc_batch *batch, int touch) {
    for (int32_t k = 0; k < tables->n; k++) {
        table *t = &tables->list[k];
        const int32_t *rows = batch->inputs[t->by];
        int64_t n = ftc_batch_cells(batch, t->by);
        for (int64_t i = 0; i < n; i++) read_row(tables, t, rows[i], touch);
    }
}

void ftc_embeddings_touch(ftc_embeddings *tables, int32_t tensor, const int64_t *rows, int64_t n) {
    for (int32_t k = 0; k < tables->n; k++) {
        table *t = &tables->list[k];
        for (int64_t i = 0; t->table == tensor && i < n; i++) read_row(tables, t, rows[i], true);
    }
}

void ftc_embeddings_updated(ftc_embeddings *tables, void *const *outputs) {
    for (int32_t k = 0; k < tables->n; k++) {
        table *t = &tables->list[k];
        float factor = *(const float *)outputs[t->output];
        if (factor == 1) continue; // no weight decay
        t->factors = ftc_grow(t->factors, &t->capacity, t->n_factors + 1, sizeof *t->factors);
        t->factors[t->n_factors++] = factor;
    }
}

static void settle(const ftc_embeddings *tables, table *t) {
    const uint8_t *touched = tables->tensors[t->touched];
    for (int64_t row = 0; row < t->rows; row++) {
        if (!touched[row]) bring_up_to_date(tables, t, row);
    }
}

void ftc_embeddings_settle(ftc_embeddings *tables, int32_t tensor) {
    for (int32_t k = 0; k < tables->n; k++)
        if (tables->list[k].table == tensor) settle(tables, &tables->list[k]);
}

void ftc_embeddings_replaced(ftc_embeddings *tables) {
    for (int32_t k = 0; k < tables->n; k++) {
        table *t = &tables->list[k];
        t->n_factors = 0;
        memset(t->applied, 0, (size_t)t->rows * sizeof *t->applied);
    }
}

static int has_moments(const ftc_embeddings *tables, const table *t, int64_t row) {
    for (int32_t i = 0; i < tables->program->n_tensors; i++) {
        if (!is_moment_of(tables->program, i, t->table)) continue;
        const float *moments = (const float *)tables->tensors[i] + row * t->width;
        for (int64_t k = 0; k < t->width; k++) {
            if (moments[k] != 0) return 1;
        }
    }
    return 0;
}

void ftc_embeddings_touch_by_moments(ftc_embeddings *tables) {
    for (int32_t k = 0; k < tables->n; k++) {
        table *t = &tables->list[k];
        settle(tables, t);
        uint8_t *touched = tables->tensors[t->touched];
        for (int64_t row = 0; row < t->rows; row++) touched[row] = has_moments(tables, t, row);
    }
}

void ftc_embeddings_expose(ftc_embeddings *tables, int32_t tensor) {
    for (int32_t k = 0; k < tables->n; k++) {
        table *t = &tables->list[k];
        if (tensor != t->table && tables->program->tensors[tensor].of != t->table) continue;
        settle(tables, t);
        memset(tables->tensors[t->touched], 1, (size_t)t->rows);
    }
}
