#include "runtime/data/batch.h"

#include "ir/base/alloc.h"
#include "ir/base/bf16.h"
#include "ir/base/name.h"
#include "runtime/loop/guard.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- sizes --------------------------------------------------------------------------------------------

ftc_row_extents ftc_program_row_extents(const ftc_program *program) {
    ftc_row_extents rows = {-1, -1};
    // The rows are what the text is over; without a text, what the first input with a batch-like axis is
    // over.
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        if (input->rank == 0 || input->axes[0].extent < 0) continue;
        bool is_text = input->role == FTC_FROM_TOKENS || input->role == FTC_FROM_TOKEN_TYPES;
        if (rows.sequences < 0 || is_text) rows.sequences = input->axes[0].extent;
        if (!is_text) continue;
        rows.tokens = input->axes[1].extent;
        break;
    }
    return rows;
}

// The largest size of each extent, or the size in a batch where it is not the same for all elements.
typedef double size_of(const void *context, int32_t extent, int64_t element);

// Counts the cells of a count (ir/step_abi.h): batch-like extents times sums over what is ragged over them.
static double count_cells(const ftc_program *program, const ftc_count_info *count, size_of *size,
                          const void *context) {
    double cells = 1;
    for (int32_t i = 0; i < count->n; i++) {
        int32_t over = program->extents[count->extents[i]].ragged_over;
        if (over < 0) {
            cells *= size(context, count->extents[i], 0);
            continue;
        }
        bool counted = false;
        for (int32_t k = 0; k < i; k++) counted |= program->extents[count->extents[k]].ragged_over == over;
        if (counted) continue;
        double sum = 0, elements = size(context, over, 0);
        for (int64_t element = 0; (double)element < elements; element++) {
            double product = 1;
            for (int32_t k = i; k < count->n; k++)
                if (program->extents[count->extents[k]].ragged_over == over)
                    product *= size(context, count->extents[k], element);
            sum += product;
        }
        cells *= sum;
    }
    return cells;
}

static double largest_size(const void *program, int32_t extent, int64_t element) {
    (void)element;
    return (double)((const ftc_program *)program)->extents[extent].bound;
}

void ftc_program_most_counts(const ftc_program *program, double *counts) {
    for (int32_t i = 0; i < program->n_counts; i++)
        counts[i] = count_cells(program, &program->counts[i], largest_size, program);
}

double ftc_program_cost(const ftc_program *program, const double *coefficients, const double *counts) {
    double cost = 0;
    for (int32_t i = 0; i < program->n_counts; i++) cost += coefficients[i] * counts[i];
    return cost;
}

static int64_t length_of(const ftc_batch *batch, int32_t extent, int64_t element) {
    return batch->offsets[extent][element + 1] - batch->offsets[extent][element];
}

static double size_in_batch(const void *context, int32_t extent, int64_t element) {
    const ftc_batch *batch = context;
    return batch->program->extents[extent].ragged_over < 0 ? (double)batch->extents[extent]
                                                           : (double)length_of(batch, extent, element);
}

int64_t ftc_batch_cells(const ftc_batch *batch, int32_t input) {
    const ftc_input_info *info = &batch->program->inputs[input];
    return info->each * (int64_t)batch->counts[info->count];
}

int64_t ftc_batch_bound(const ftc_batch *batch, int32_t input) {
    const ftc_input_info *info = &batch->program->inputs[input];
    bool numbers_elements = info->of >= 0 && batch->program->extents[info->of].ragged_over < 0;
    return numbers_elements ? batch->extents[info->of] : info->bound;
}

// --- creation -----------------------------------------------------------------------------------------

// Hands out the next piece of the batch's block; before there is one, only counts.
static void *take(const ftc_batch *batch, size_t *at, double bytes, const char *name) {
    char *block = batch->block.data;
    size_t place = ftc_memory_place((size_t)bytes, batch->program->guarded, at);
    if (block && batch->program->guarded) ftc_guard_add(block + place, (size_t)bytes, name);
    return block ? block + place : NULL;
}

// A piece for `bytes` of what it holds at most: in a guarded program nothing lies behind them.
static void *fit(const ftc_batch *batch, void *piece, int64_t bytes) {
    return batch->program->guarded ? ftc_guard_resize(piece, (size_t)bytes) : piece;
}

// The elements of the axis that an extent is ragged over, at most.
static double most_elements(const ftc_program *program, int32_t extent) {
    return (double)program->extents[program->extents[extent].ragged_over].bound;
}

// Lays the buffers out in the block; returns its size.
static size_t lay_out(ftc_batch *batch, const double *most) {
    const ftc_program *program = batch->program;
    size_t at = 0;
    for (int32_t e = 0; e < program->n_extents; e++) {
        if (program->extents[e].ragged_over < 0) continue;
        batch->offsets[e] = take(batch, &at, (most_elements(program, e) + 1) * sizeof **batch->offsets,
                                 program->extents[e].name);
    }
    for (int32_t c = 0; c < program->n_counts; c++) {
        if (!program->counts[c].has_prefix) continue;
        double elements = most_elements(program, program->counts[c].extents[0]);
        batch->prefixes[c] = take(batch, &at, (elements + 1) * sizeof **batch->prefixes, "a prefix");
    }
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        double bytes = (double)input->each * most[input->count] * ftc_dtype_bytes(input->dtype);
        batch->inputs[i] = take(batch, &at, bytes, input->name);
    }
    return at;
}

// Whether an input has one value for each row.
static bool is_one_a_row(const ftc_input_info *input, const ftc_row_extents *rows) {
    return input->rank == 1 && input->axes[0].extent == rows->sequences;
}

// Whether the input takes the label of a row, a class or a value.
static bool takes_label(const ftc_input_info *input, const ftc_row_extents *rows) {
    bool number = input->dtype == FTC_I32 || input->dtype == FTC_F32;
    return input->role == FTC_FROM_LABEL && number && is_one_a_row(input, rows);
}

// Whether the input takes the class of each token.
static bool takes_tags(const ftc_input_info *input, const ftc_row_extents *rows) {
    return input->role == FTC_FROM_LABEL && input->dtype == FTC_I32 && input->rank == 2 &&
           rows->tokens >= 0 && input->axes[0].extent == rows->sequences &&
           input->axes[1].extent == rows->tokens;
}

// Whether it takes a number for each of several labels.
static bool takes_several_labels(const ftc_input_info *input, const ftc_row_extents *rows) {
    return input->role == FTC_FROM_LABEL && input->dtype == FTC_F32 && input->rank == 2 &&
           input->axes[0].extent == rows->sequences && input->axes[1].extent < 0;
}

static void find_classes(ftc_batch *batch) {
    for (int32_t i = 0; i < batch->program->n_inputs; i++)
        if (takes_label(&batch->program->inputs[i], &batch->rows) &&
            batch->program->inputs[i].dtype == FTC_I32)
            batch->classes = batch->inputs[i];
}

static void *zeros(int32_t n, size_t size) {
    return ftc_alloc((size_t)n + 1, size);
}

static ftc_status allocate(ftc_batch *batch, const double *most) {
    const double largest = 1e15; // bytes: more than any machine has
    const ftc_program *program = batch->program;
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        double bytes = (double)input->each * most[input->count] * ftc_dtype_bytes(input->dtype);
        if (bytes > largest) {
            return ftc_status_make(FTC_BAD_INPUT,
                                   "the input \"%s\" would take %.3g bytes: lower the bounds of its axes",
                                   input->name, bytes);
        }
    }
    FTC_RETURN_IF_ERROR(ftc_memory_map(lay_out(batch, most), "a batch", &batch->block));
    lay_out(batch, most);
    return FTC_STATUS_OK;
}

ftc_status ftc_batch_create(const ftc_program *program, ftc_batch *out) {
    ftc_batch batch = {
        .program = program,
        .inputs = zeros(program->n_inputs, sizeof *batch.inputs),
        .extents = zeros(program->n_extents, sizeof *batch.extents),
        .offsets = zeros(program->n_extents, sizeof *batch.offsets),
        .prefixes = zeros(program->n_counts, sizeof *batch.prefixes),
        .first_slots = zeros(program->n_extents, sizeof *batch.first_slots),
        .counts = zeros(program->n_counts, sizeof *batch.counts),
        .rows = ftc_program_row_extents(program),
        .texts_per_row = ftc_program_texts_per_row(program),
    };
    if (batch.rows.sequences >= 0) batch.max_sequences = program->extents[batch.rows.sequences].bound;
    batch.max_rows = batch.max_sequences / batch.texts_per_row;
    if (batch.rows.tokens >= 0) batch.max_length = program->extents[batch.rows.tokens].bound;
    double *most = zeros(program->n_counts, sizeof *most);
    ftc_program_most_counts(program, most);
    ftc_status status = allocate(&batch, most);
    free(most);
    if (status.code != FTC_OK) {
        ftc_batch_free(&batch);
        return status;
    }
    *out = batch;
    return FTC_STATUS_OK;
}

void ftc_batch_free(ftc_batch *batch) {
    ftc_memory_unmap(&batch->block);
    free(batch->inputs);
    free(batch->extents);
    free(batch->offsets);
    free(batch->prefixes);
    free(batch->first_slots);
    free(batch->counts);
    *batch = (ftc_batch){0};
}

// --- binding ------------------------------------------------------------------------------------------

// What an extent is called in messages, and the option that changes its bound.
typedef struct {
    const char *what, *option;
} extent_words;

static extent_words words_of(const ftc_batch *batch, int32_t extent) {
    if (extent == batch->rows.sequences) return (extent_words){"examples", "compile with --batch"};
    if (extent == batch->rows.tokens) return (extent_words){"tokens", "compile with --max-length"};
    return (extent_words){"positions", "declare a larger bound, at least"};
}

// Whether `who` (such as "example 3") has all positions of an extent that the model names.
static ftc_status check_least(const ftc_program *program, int32_t extent, const char *who, int64_t size) {
    const ftc_extent_info *info = &program->extents[extent];
    if (size >= info->least) return FTC_STATUS_OK;
    if (info->least == info->bound && !info->least_line && info->bound > 1)
        return ftc_status_make(FTC_BAD_INPUT, "%s has %lld element%s along axis %s, which always has %lld",
                               who, (long long)size, size == 1 ? "" : "s", info->name,
                               (long long)info->least);
    if (info->least == 1 && !info->least_line)
        return ftc_status_make(FTC_BAD_INPUT, "%s has nothing along axis %s", who, info->name);
    char where[64] = "";
    if (info->least_line) snprintf(where, sizeof where, " (line %d)", info->least_line);
    return ftc_status_make(FTC_BAD_INPUT,
                           "%s has %lld position%s along axis %s, but the model %s names position %lld of "
                           "it%s: leave out what is "
                           "shorter than %lld, or let the model name a position that is always there",
                           who, (long long)size, size == 1 ? "" : "s", info->name, program->model,
                           (long long)info->least - 1, where, (long long)info->least);
}

static ftc_status check_elements(const ftc_batch *batch, int32_t extent, int64_t n) {
    const ftc_extent_info *info = &batch->program->extents[extent];
    extent_words words = words_of(batch, extent);
    FTC_RETURN_IF_ERROR(check_least(batch->program, extent, "the batch", n));
    if (n > info->bound) {
        return ftc_status_make(
            FTC_BAD_INPUT,
            "a batch of %lld %s along %s, but the model was compiled for at most %lld: %s %lld", (long long)n,
            words.what, info->name, (long long)info->bound, words.option, (long long)n);
    }
    return FTC_STATUS_OK;
}

// An element of a batch-like extent as messages have it: "example 3", "element 3", or what the caller is
// about to name, THIS_ROW.
typedef struct {
    char text[40];
} element_name;

static const int64_t THIS_ROW = -1;

static element_name name_of(const ftc_batch *batch, int32_t over, int64_t element, const int64_t *names) {
    element_name name = {"the row"};
    bool is_row = over >= 0 && over == batch->rows.sequences;
    if (is_row && names) element = names[element];
    if (!is_row || element != THIS_ROW)
        snprintf(name.text, sizeof name.text, "%s %lld", is_row ? "example" : "element", (long long)element);
    return name;
}

static ftc_status check_length(const ftc_batch *batch, int32_t extent, int64_t length, const char *who) {
    const ftc_extent_info *info = &batch->program->extents[extent];
    extent_words words = words_of(batch, extent);
    if (length > info->bound) {
        return ftc_status_make(
            FTC_BAD_INPUT, "%s has %lld %s along %s, but the model was compiled for at most %lld: %s %lld",
            who, (long long)length, words.what, info->name, (long long)info->bound, words.option,
            (long long)length);
    }
    return check_least(batch->program, extent, who, length);
}

static ftc_status set_lengths(ftc_batch *batch, int32_t extent, const int32_t *lengths,
                              const int64_t *names) {
    int32_t over = batch->program->extents[extent].ragged_over;
    int64_t sum = 0, n = batch->extents[over];
    batch->offsets[extent] = fit(batch, batch->offsets[extent], (n + 1) * (int64_t)sizeof(int32_t));
    batch->offsets[extent][0] = 0;
    for (int64_t i = 0; i < n; i++) {
        element_name who = name_of(batch, over, i, names);
        FTC_RETURN_IF_ERROR(check_length(batch, extent, lengths[i], who.text));
        sum += lengths[i];
        if (sum > INT32_MAX) {
            return ftc_status_make(FTC_BAD_INPUT,
                                   "a batch of more than %d positions along %s: make it smaller", INT32_MAX,
                                   batch->program->extents[extent].name);
        }
        batch->offsets[extent][i + 1] = (int32_t)sum;
    }
    batch->extents[extent] = sum;
    return FTC_STATUS_OK;
}

static void fill_prefix(ftc_batch *batch, int32_t count) {
    const ftc_count_info *info = &batch->program->counts[count];
    int64_t n = batch->extents[batch->program->extents[info->extents[0]].ragged_over];
    int64_t *prefix = batch->prefixes[count] =
        fit(batch, batch->prefixes[count], (n + 1) * (int64_t)sizeof *prefix);
    prefix[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t product = 1;
        for (int32_t k = 0; k < info->n; k++) product *= length_of(batch, info->extents[k], i);
        prefix[i + 1] = prefix[i] + product;
    }
}

static void measure_rows(ftc_batch *batch) {
    ftc_row_extents rows = batch->rows;
    batch->sequences = rows.sequences < 0 ? 0 : batch->extents[rows.sequences];
    batch->tokens = rows.tokens < 0 ? 0 : batch->extents[rows.tokens];
    batch->longest = 0;
    for (int64_t i = 0; rows.tokens >= 0 && i < batch->sequences; i++) {
        int64_t length = length_of(batch, rows.tokens, i);
        if (length > batch->longest) batch->longest = length;
    }
}

// What no batch changes. The compiler has seen that there are as many numbers as cells.
static void fill_from_config(ftc_batch *batch) {
    const ftc_program *program = batch->program;
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        if (input->role != FTC_FROM_CONFIG) continue;
        double *numbers = ftc_alloc((size_t)input->each, sizeof *numbers);
        for (int32_t k = 0; k < program->n_config; k++) {
            const ftc_setting *entry = &program->config[k];
            if (strcmp(entry->name, input->column) != 0) continue;
            if (entry->text)
                ftc_name_numbers(entry->text, numbers, input->each);
            else
                numbers[0] = entry->number;
        }
        for (int64_t k = 0; k < input->each; k++) ((float *)batch->inputs[i])[k] = (float)numbers[k];
        free(numbers);
    }
}

ftc_status ftc_batch_resize(ftc_batch *batch, const int64_t *elements, const int32_t *const *lengths,
                            const int64_t *names) {
    const ftc_program *program = batch->program;
    for (int32_t e = 0; e < program->n_extents; e++) {
        if (program->extents[e].ragged_over >= 0) continue;
        FTC_RETURN_IF_ERROR(check_elements(batch, e, elements[e]));
        batch->extents[e] = elements[e];
    }
    for (int32_t e = 0; e < program->n_extents; e++) {
        if (program->extents[e].ragged_over < 0) continue;
        FTC_RETURN_IF_ERROR(set_lengths(batch, e, lengths[e], names));
    }
    for (int32_t c = 0; c < program->n_counts; c++) {
        batch->counts[c] = count_cells(program, &program->counts[c], size_in_batch, batch);
        if (program->counts[c].has_prefix) fill_prefix(batch, c);
    }
    for (int32_t i = 0; i < program->n_inputs; i++)
        batch->inputs[i] = fit(batch, batch->inputs[i],
                               ftc_batch_cells(batch, i) * ftc_dtype_bytes(program->inputs[i].dtype));
    fill_from_config(batch);
    find_classes(batch);
    measure_rows(batch);
    return FTC_STATUS_OK;
}

// The element of the input's first axis to which its cell belongs, and the cell's place within it.
static int64_t element_of(const ftc_batch *batch, const ftc_input_info *input, int64_t cell,
                          int64_t *within) {
    const ftc_program *program = batch->program;
    const ftc_count_info *count = &program->counts[input->count];
    int32_t first = input->rank ? input->axes[0].extent : -1;
    *within = cell;
    if (first < 0) return 0;
    int64_t n = batch->extents[first], element = 0, begin = 0;
    for (; element < n; element++) {
        int64_t cells = input->each;
        for (int32_t k = 0; k < count->n; k++) {
            const ftc_extent_info *extent = &program->extents[count->extents[k]];
            if (extent->ragged_over == first)
                cells *= length_of(batch, count->extents[k], element);
            else if (count->extents[k] != first)
                cells *= batch->extents[count->extents[k]];
        }
        if (cell < begin + cells) break;
        begin += cells;
    }
    *within = cell - begin;
    return element;
}

static ftc_status check_indices(const ftc_batch *batch, int32_t i, const int64_t *names) {
    const ftc_input_info *input = &batch->program->inputs[i];
    const int32_t *values = batch->inputs[i];
    int64_t n = ftc_batch_cells(batch, i), bound = ftc_batch_bound(batch, i), within;
    for (int64_t k = 0; k < n; k++) {
        if (values[k] >= 0 && values[k] < bound) continue;
        int64_t element = element_of(batch, input, k, &within);
        element_name who = name_of(batch, input->rank ? input->axes[0].extent : -1, element, names);
        return ftc_status_make(FTC_BAD_INPUT, "%s, value %lld: \"%s\" is %d, the model takes 0 to %lld%s",
                               who.text, (long long)within, input->name, values[k], (long long)bound - 1,
                               bound < input->bound             ? " in a batch of so many"
                               : input->role == FTC_FROM_TOKENS ? "; do tokenizer and model belong together?"
                               : input->role == FTC_FROM_LABEL
                                   ? ": set the number of labels with --set labels=N"
                                   : "");
    }
    return FTC_STATUS_OK;
}

static ftc_status check_bools(const ftc_batch *batch, int32_t i, const int64_t *names) {
    const ftc_input_info *input = &batch->program->inputs[i];
    const uint8_t *values = batch->inputs[i];
    int64_t n = ftc_batch_cells(batch, i), within;
    for (int64_t k = 0; k < n; k++) {
        if (values[k] <= 1) continue;
        int64_t element = element_of(batch, input, k, &within);
        element_name who = name_of(batch, input->rank ? input->axes[0].extent : -1, element, names);
        return ftc_status_make(FTC_BAD_INPUT, "%s, value %lld: \"%s\" is %d, but a bool is 0 or 1", who.text,
                               (long long)within, input->name, values[k]);
    }
    return FTC_STATUS_OK;
}

ftc_status ftc_batch_check(const ftc_batch *batch, const int64_t *names) {
    for (int32_t i = 0; i < batch->program->n_inputs; i++) {
        const ftc_input_info *input = &batch->program->inputs[i];
        if (input->bound && input->dtype == FTC_I32) FTC_RETURN_IF_ERROR(check_indices(batch, i, names));
        if (input->dtype == FTC_BOOL) FTC_RETURN_IF_ERROR(check_bools(batch, i, names));
    }
    return FTC_STATUS_OK;
}

// --- rows of files ------------------------------------------------------------------------------------

// Whether an input has an axis of this extent.
static bool is_of_input(const ftc_program *program, int32_t extent) {
    for (int32_t i = 0; i < program->n_inputs; i++)
        for (int32_t k = 0; k < program->inputs[i].rank; k++)
            if (program->inputs[i].axes[k].extent == extent) return true;
    return false;
}

ftc_status ftc_batch_check_feed(const ftc_program *program) {
    ftc_row_extents rows = ftc_program_row_extents(program);
    if (rows.sequences < 0) {
        return ftc_status_make(FTC_BAD_INPUT, "the model %s has no input over a batch: no file can feed it",
                               program->model);
    }
    for (int32_t e = 0; e < program->n_extents; e++) {
        const ftc_extent_info *extent = &program->extents[e];
        if (extent->ragged_over < 0 && e != rows.sequences && extent->least < extent->bound &&
            !is_of_input(program, e))
            return ftc_status_make(
                FTC_BAD_INPUT,
                "the rows of a file are along %s, and no input of the model %s says how many "
                "elements %s has: bind it through the C API",
                program->extents[rows.sequences].name, program->model, extent->name);
    }
    bool apart = ftc_program_texts_per_row(program) > 1;
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        if (input->role == FTC_FROM_CONFIG) continue;
        bool is_text = input->role == FTC_FROM_TOKENS || input->role == FTC_FROM_TOKEN_TYPES;
        if (apart && !is_text && input->role != FTC_FROM_PARTNER)
            return ftc_status_make(FTC_BAD_INPUT,
                                   "the two texts of a row are elements of %s, and no row of a file can feed "
                                   "the input \"%s\" of the model %s beside them: bind it through the C API",
                                   program->extents[rows.sequences].name, input->name, program->model);
        int ragged = 0, wrong = input->rank && input->axes[0].extent == rows.sequences ? -1 : 0;
        for (int32_t k = 1; k < input->rank; k++) {
            int32_t extent = input->axes[k].extent;
            ragged += extent >= 0 && program->extents[extent].ragged_over == rows.sequences;
            if (extent >= 0 && program->extents[extent].ragged_over != rows.sequences) wrong = k;
        }
        const char *name = program->extents[rows.sequences].name;
        if (is_text && input->axes[1].extent != rows.tokens) wrong = 1;
        if (wrong >= 0) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "the rows of a file are along %s, but the input \"%s\" of the model %s is %s%s: bind "
                "it through the C API",
                name, input->name, program->model, input->rank ? "along " : "not",
                input->rank ? input->axes[wrong].name : "");
        }
        if (ragged > 1) {
            return ftc_status_make(
                FTC_BAD_INPUT,
                "the input \"%s\" of the model %s has several axes with a length for each %s: no "
                "column can feed it; bind it through the C API",
                input->name, program->model, name);
        }
    }
    return FTC_STATUS_OK;
}

ftc_label_kind ftc_program_label(const ftc_program *program) {
    ftc_row_extents rows = ftc_program_row_extents(program);
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (takes_tags(&program->inputs[i], &rows)) return FTC_LABEL_TOKENS;
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (takes_label(&program->inputs[i], &rows))
            return program->inputs[i].dtype == FTC_I32 ? FTC_LABEL_CLASS : FTC_LABEL_VALUE;
        else if (takes_several_labels(&program->inputs[i], &rows))
            return FTC_LABEL_SEVERAL;
    return FTC_LABEL_NONE;
}

bool ftc_program_reads(const ftc_program *program, ftc_input_role role) {
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (program->inputs[i].role == role) return true;
    return false;
}

// The place of the input among those that columns feed; -1: something else does.
static int32_t column_of(const ftc_program *program, const ftc_row_extents *rows, int32_t input) {
    int32_t place = 0;
    for (int32_t i = 0; i <= input; i++) {
        const ftc_input_info *info = &program->inputs[i];
        bool is_column =
            info->role == FTC_FROM_COLUMN ||
            (info->role == FTC_FROM_LABEL && !takes_label(info, rows) && !takes_tags(info, rows));
        if (i == input) return is_column ? place : -1;
        place += is_column;
    }
    return -1;
}

int32_t ftc_program_columns(const ftc_program *program, const char **names) {
    ftc_row_extents rows = ftc_program_row_extents(program);
    int32_t n = 0;
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (column_of(program, &rows, i) >= 0) names[n++] = program->inputs[i].column;
    return n;
}

const ftc_number_lists *ftc_program_several_labels(const ftc_program *program, const ftc_dataset *dataset) {
    ftc_row_extents rows = ftc_program_row_extents(program);
    for (int32_t i = 0; i < program->n_inputs; i++) {
        int32_t column = column_of(program, &rows, i);
        if (takes_several_labels(&program->inputs[i], &rows))
            return column < dataset->n_columns ? &dataset->columns[column] : NULL;
    }
    return NULL;
}

// The ragged axis of an input that rows feed; -1: it has none.
static int32_t ragged_extent(const ftc_program *program, const ftc_input_info *input) {
    for (int32_t k = 1; k < input->rank; k++) {
        int32_t extent = input->axes[k].extent;
        if (extent >= 0 && program->extents[extent].ragged_over >= 0) return extent;
    }
    return -1;
}

static ftc_status no_column(const ftc_program *program, const ftc_input_info *input) {
    return ftc_status_make(
        FTC_BAD_INPUT, "the model %s needs the column \"%s\" for its input \"%s\", but here are only texts",
        program->model, input->column ? input->column : "label", input->name);
}

static bool is_masked(const ftc_input_info *input) {
    return input->role == FTC_FROM_MASKED_POSITIONS || input->role == FTC_FROM_MASKED_TOKENS;
}

bool ftc_program_masks(const ftc_program *program) {
    return ftc_program_reads(program, FTC_FROM_MASKED_POSITIONS) ||
           ftc_program_reads(program, FTC_FROM_MASKED_TOKENS);
}

// How many tokens of an example, element number `element` of the batch, are to be predicted.
static int64_t count_masked(const ftc_batch *batch, const ftc_dataset *dataset, int64_t example,
                            int64_t element) {
    int64_t first = dataset->offsets[example], n = ftc_dataset_length(dataset, example), count = 0;
    if (dataset->masking)
        return ftc_masking_count(dataset->masking, &batch->draw, element, dataset->ids + first, n);
    for (int64_t i = 0; i < n; i++) count += dataset->tags[first + i] != FTC_NO_LABEL;
    return count;
}

int32_t ftc_program_texts_per_row(const ftc_program *program) {
    return ftc_program_reads(program, FTC_FROM_PARTNER) ? 2 : 1;
}

// Where the tokens of an element of the batch lie in the dataset, of which it is this example, and how many
// there are.
static int64_t find_text(const ftc_batch *batch, const ftc_dataset *dataset, int64_t example, bool is_second,
                         int64_t *n) {
    int64_t first = dataset->offsets[example];
    *n = ftc_dataset_length(dataset, example);
    if (batch->texts_per_row == 1) return first;
    int64_t split = dataset->firsts[example];
    *n = is_second ? *n - split : split;
    return is_second ? first + split : first;
}

// How long an example, element number `element` of the batch, is along a ragged extent: in tokens, in masked
// ones, or by the first column over it.
static ftc_status example_length(const ftc_batch *batch, int32_t extent, const ftc_dataset *dataset,
                                 int64_t example, int64_t element, bool is_second, int32_t *out) {
    const ftc_program *program = batch->program;
    if (extent == batch->rows.tokens) {
        int64_t tokens;
        find_text(batch, dataset, example, is_second, &tokens);
        *out = (int32_t)tokens;
        return FTC_STATUS_OK;
    }
    for (int32_t i = 0; i < program->n_inputs; i++) {
        const ftc_input_info *input = &program->inputs[i];
        if (ragged_extent(program, input) != extent) continue;
        if (is_masked(input)) {
            *out = (int32_t)count_masked(batch, dataset, example, element);
            return FTC_STATUS_OK;
        }
        int32_t column = column_of(program, &batch->rows, i);
        if (column >= dataset->n_columns) return no_column(program, input);
        const ftc_number_lists *lists = &dataset->columns[column];
        *out = (int32_t)((lists->offsets[example + 1] - lists->offsets[example]) / input->each);
        return FTC_STATUS_OK;
    }
    return ftc_status_make(FTC_BAD_INPUT,
                           "no input of the model %s says how long the axis %s is: declare one over it",
                           program->model, program->extents[extent].name);
}

static ftc_status resize_to_examples(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples,
                                     const int64_t *names, int64_t n) {
    const ftc_program *program = batch->program;
    FTC_RETURN_IF_ERROR(check_elements(batch, batch->rows.sequences, n));
    int64_t *elements = zeros(program->n_extents, sizeof *elements);
    int32_t **lengths = zeros(program->n_extents, sizeof *lengths);
    ftc_status status = FTC_STATUS_OK;
    for (int32_t e = 0; e < program->n_extents; e++) {
        elements[e] = e == batch->rows.sequences ? n : program->extents[e].least;
        if (program->extents[e].ragged_over < 0) continue;
        lengths[e] = zeros((int32_t)n, sizeof **lengths);
        for (int64_t i = 0;
             i < n && status.code == FTC_OK && program->extents[e].ragged_over == batch->rows.sequences; i++)
            status = example_length(batch, e, dataset, examples[i], i, i >= n / batch->texts_per_row,
                                    &lengths[e][i]);
    }
    if (status.code == FTC_OK)
        status = ftc_batch_resize(batch, elements, (const int32_t *const *)lengths, names);
    for (int32_t e = 0; e < program->n_extents; e++) free(lengths[e]);
    free(lengths);
    free(elements);
    return status;
}

// What the type of an input can hold, NULL where that is the value; then it is written.
static const char *put_number(ftc_dtype dtype, double value, void *cells, int64_t at) {
    bool whole = value == floor(value);
    switch (dtype) {
    case FTC_F32:
        if (!(fabs(value) <= FLT_MAX)) return "finite numbers up to 3.4e38";
        ((float *)cells)[at] = (float)value;
        return NULL;
    case FTC_BF16:
        if (!(fabs(value) <= 0x1.fep127)) return "finite numbers up to 3.38e38";
        ((uint16_t *)cells)[at] = ftc_bf16_of((float)value);
        return NULL;
    case FTC_I32:
        if (!whole || value < INT32_MIN || value > INT32_MAX)
            return "whole numbers from -2147483648 to 2147483647";
        ((int32_t *)cells)[at] = (int32_t)value;
        return NULL;
    case FTC_U32:
        if (!whole || value < 0 || value > UINT32_MAX) return "whole numbers from 0 to 4294967295";
        ((uint32_t *)cells)[at] = (uint32_t)value;
        return NULL;
    case FTC_BOOL:
        if (value != 0 && value != 1) return "0 and 1, or false and true";
        ((uint8_t *)cells)[at] = value != 0;
        return NULL;
    }
    return "no numbers";
}

// How many values an example has of an input.
static int64_t values_of(const ftc_batch *batch, const ftc_input_info *input, int64_t element) {
    int32_t extent = ragged_extent(batch->program, input);
    return input->each * (extent < 0 ? 1 : length_of(batch, extent, element));
}

// What an input is for those who look for it in a file: "targets", or "targets" (column "y").
static element_name column_words(const ftc_input_info *input) {
    element_name words = {""};
    if (input->role == FTC_FROM_LABEL)
        snprintf(words.text, sizeof words.text, " (the label column)");
    else if (strcmp(input->column, input->name) != 0)
        snprintf(words.text, sizeof words.text, " (column \"%.24s\")", input->column);
    return words;
}

static ftc_status wrong_number_of_values(const ftc_batch *batch, const ftc_input_info *input, const char *who,
                                         int64_t n, int64_t wanted) {
    int32_t extent = ragged_extent(batch->program, input);
    char takes[160];
    if (extent < 0)
        snprintf(takes, sizeof takes, "%lld", (long long)wanted);
    else if (n % input->each)
        snprintf(takes, sizeof takes, "%lld for each position along %.40s", (long long)input->each,
                 batch->program->extents[extent].name);
    else
        snprintf(takes, sizeof takes, "%lld: %lld for each position along %.40s%s", (long long)wanted,
                 (long long)input->each, batch->program->extents[extent].name,
                 extent == batch->rows.tokens ? ", the special tokens' too" : "");
    return ftc_status_make(FTC_BAD_INPUT, "%s has %lld value%s for the input \"%s\"%s, the model takes %s",
                           who, (long long)n, n == 1 ? "" : "s", input->name, column_words(input).text,
                           takes);
}

static ftc_status fill_from_column(ftc_batch *batch, int32_t i, const ftc_number_lists *lists,
                                   const int64_t *examples, const int64_t *names) {
    const ftc_input_info *input = &batch->program->inputs[i];
    int64_t at = 0;
    for (int64_t k = 0; k < batch->sequences; k++) {
        int64_t first = lists->offsets[examples[k]], n = lists->offsets[examples[k] + 1] - first;
        int64_t wanted = values_of(batch, input, k);
        element_name who = name_of(batch, batch->rows.sequences, k, names);
        if (n != wanted) return wrong_number_of_values(batch, input, who.text, n, wanted);
        for (int64_t v = 0; v < n; v++) {
            const char *takes = put_number(input->dtype, lists->values[first + v], batch->inputs[i], at++);
            if (!takes) continue;
            return ftc_status_make(
                FTC_BAD_INPUT, "%s, value %lld for the input \"%s\"%s is %.10g; it takes %s", who.text,
                (long long)v, input->name, column_words(input).text, lists->values[first + v], takes);
        }
    }
    return FTC_STATUS_OK;
}

static ftc_status fill_labels(ftc_batch *batch, int32_t i, const float *labels, const int64_t *examples,
                              const int64_t *names) {
    const ftc_input_info *input = &batch->program->inputs[i];
    for (int64_t k = 0; k < batch->sequences; k++) {
        double label = (double)labels[examples[k]];
        element_name who = name_of(batch, batch->rows.sequences, k, names);
        if (input->bound && !(label >= 0 && label < (double)input->bound)) {
            return ftc_status_make(FTC_BAD_INPUT,
                                   "%s has the label %.9g, the model takes the classes 0 to %lld: set the "
                                   "number of labels with --set labels=N",
                                   who.text, label, (long long)input->bound - 1);
        }
        const char *takes = put_number(input->dtype, label, batch->inputs[i], k);
        if (takes)
            return ftc_status_make(FTC_BAD_INPUT, "%s has the label %.9g; the input \"%s\" takes %s",
                                   who.text, label, input->name, takes);
    }
    return FTC_STATUS_OK;
}

static void fill_tokens(ftc_batch *batch, int32_t i, const int32_t *values, const ftc_dataset *dataset,
                        const int64_t *examples) {
    int32_t *to = batch->inputs[i];
    for (int64_t k = 0; k < batch->sequences; k++) {
        int64_t n,
            at = find_text(batch, dataset, examples[k], k >= batch->sequences / batch->texts_per_row, &n);
        if (n) memcpy(to, values + at, (size_t)n * sizeof *to);
        to += n;
    }
}

void ftc_batch_fill_partners(ftc_batch *batch, int32_t input) {
    int32_t *to = batch->inputs[input], n = (int32_t)batch->sequences, half = n / 2;
    for (int32_t k = 0; k < n; k++) to[k] = k < half ? k + half : k < 2 * half ? k - half : k;
}

// Without any, as in texts to predict: none.
static void fill_tags(ftc_batch *batch, int32_t i, const ftc_dataset *dataset, const int64_t *examples) {
    int32_t *to = batch->inputs[i];
    if (dataset->tags) fill_tokens(batch, i, dataset->tags, dataset, examples);
    for (int64_t k = 0; k < batch->tokens && !dataset->tags; k++) to[k] = FTC_NO_LABEL;
}

static ftc_status fill_input(ftc_batch *batch, int32_t i, const ftc_dataset *dataset, const int64_t *examples,
                             const int64_t *names) {
    const ftc_input_info *input = &batch->program->inputs[i];
    int32_t column = column_of(batch->program, &batch->rows, i);
    if (input->role == FTC_FROM_CONFIG) return FTC_STATUS_OK; // filled already
    if (column >= dataset->n_columns) {
        if (input->role != FTC_FROM_LABEL) return no_column(batch->program, input);
        // Without labels the loss means nothing.
        memset(batch->inputs[i], 0, (size_t)(ftc_batch_cells(batch, i) * ftc_dtype_bytes(input->dtype)));
        return FTC_STATUS_OK;
    }
    if (column >= 0) return fill_from_column(batch, i, &dataset->columns[column], examples, names);
    if (takes_tags(input, &batch->rows)) {
        fill_tags(batch, i, dataset, examples);
        return FTC_STATUS_OK;
    }
    if (input->role == FTC_FROM_LABEL) return fill_labels(batch, i, dataset->labels, examples, names);
    if (is_masked(input)) return FTC_STATUS_OK; // by mask_tokens or fill_masked
    if (input->role == FTC_FROM_PARTNER) {
        ftc_batch_fill_partners(batch, i);
        return FTC_STATUS_OK;
    }
    fill_tokens(batch, i, input->role == FTC_FROM_TOKENS ? dataset->ids : dataset->types, dataset, examples);
    return FTC_STATUS_OK;
}

// Masks the tokens that are at hand, and fills what says which were chosen and what they were.
static void mask_tokens(ftc_batch *batch, const ftc_masking *masking) {
    const ftc_program *program = batch->program;
    const int32_t *offsets = batch->offsets[batch->rows.tokens];
    int32_t *scratch = zeros((int32_t)(2 * batch->longest), sizeof *scratch);
    int32_t *positions = scratch, *tokens = scratch + batch->longest;
    int32_t *ids = zeros((int32_t)batch->tokens, sizeof *ids);
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (program->inputs[i].role == FTC_FROM_TOKENS)
            memcpy(ids, batch->inputs[i], (size_t)batch->tokens * sizeof *ids);
    int64_t at = 0;
    for (int64_t k = 0; k < batch->sequences; k++) {
        int64_t n = ftc_masking_apply(masking, &batch->draw, k, ids + offsets[k], offsets[k + 1] - offsets[k],
                                      positions, tokens);
        for (int32_t i = 0; i < program->n_inputs; i++) {
            if (!is_masked(&program->inputs[i])) continue;
            bool asks_where = program->inputs[i].role == FTC_FROM_MASKED_POSITIONS;
            memcpy((int32_t *)batch->inputs[i] + at, asks_where ? positions : tokens,
                   (size_t)n * sizeof *positions);
        }
        at += n;
    }
    for (int32_t i = 0; i < program->n_inputs; i++)
        if (program->inputs[i].role == FTC_FROM_TOKENS)
            memcpy(batch->inputs[i], ids, (size_t)batch->tokens * sizeof *ids);
    free(scratch);
    free(ids);
}

// Fills which tokens are masked and what they were, where the texts come so.
static void fill_masked(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples) {
    const ftc_program *program = batch->program;
    for (int32_t i = 0; i < program->n_inputs; i++) {
        if (!is_masked(&program->inputs[i])) continue;
        bool asks_where = program->inputs[i].role == FTC_FROM_MASKED_POSITIONS;
        int32_t *to = batch->inputs[i];
        for (int64_t k = 0; k < batch->sequences; k++) {
            const int32_t *tags = dataset->tags + dataset->offsets[examples[k]];
            int32_t n = (int32_t)ftc_dataset_length(dataset, examples[k]);
            for (int32_t at = 0; at < n; at++)
                if (tags[at] != FTC_NO_LABEL) *to++ = asks_where ? at : tags[at];
        }
    }
}

static ftc_status fill(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples,
                       const int64_t *names, int64_t n) {
    bool masks = ftc_program_masks(batch->program);
    if (masks && !dataset->masking && !dataset->tags)
        return ftc_status_make(FTC_BAD_INPUT,
                               "the model %s has tokens of its texts masked and predicts them, and nothing "
                               "says which: ftc run and "
                               "ftc eval mask them",
                               batch->program->model);
    FTC_RETURN_IF_ERROR(resize_to_examples(batch, dataset, examples, names, n));
    for (int32_t i = 0; i < batch->program->n_inputs; i++)
        FTC_RETURN_IF_ERROR(fill_input(batch, i, dataset, examples, names));
    if (masks && dataset->masking)
        mask_tokens(batch, dataset->masking);
    else if (masks)
        fill_masked(batch, dataset, examples);
    return ftc_batch_check(batch, names);
}

// The same where the texts of an example are two elements: those of all first texts, then of the second ones.
static ftc_status fill_pairs(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples,
                             const int64_t *names, int64_t n) {
    if (!dataset->firsts)
        return ftc_status_make(
            FTC_BAD_INPUT, "the model %s takes pairs of texts that stand apart, and here is one text each",
            batch->program->model);
    int64_t *of_elements = zeros((int32_t)(4 * n), sizeof *of_elements),
            *names_of_elements = of_elements + 2 * n;
    for (int64_t k = 0; k < 2 * n; k++) {
        of_elements[k] = examples[k % n];
        names_of_elements[k] = names[k % n];
    }
    ftc_status status = fill(batch, dataset, of_elements, names_of_elements, 2 * n);
    free(of_elements);
    return status;
}

static ftc_status fill_rows(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples,
                            const int64_t *names, int64_t n) {
    return batch->texts_per_row == 2 ? fill_pairs(batch, dataset, examples, names, n)
                                     : fill(batch, dataset, examples, names, n);
}

ftc_status ftc_batch_fill(ftc_batch *batch, const ftc_dataset *dataset, const int64_t *examples, int64_t n) {
    return fill_rows(batch, dataset, examples, examples, n);
}

ftc_status ftc_batch_check_dataset(const ftc_program *program, const ftc_dataset *dataset, int64_t *example) {
    ftc_batch batch;
    FTC_RETURN_IF_ERROR(ftc_batch_create(program, &batch));
    // As often as the model needs elements.
    int64_t n = batch.rows.sequences >= 0 ? program->extents[batch.rows.sequences].least : 1;
    if (n < 1) n = 1;
    int64_t *same = zeros((int32_t)n, sizeof *same), *names = zeros((int32_t)n, sizeof *names);
    ftc_status status = FTC_STATUS_OK;
    for (int64_t k = 0; k < n; k++) names[k] = THIS_ROW;
    for (*example = 0; *example < dataset->n; ++*example) {
        for (int64_t k = 0; k < n; k++) same[k] = *example;
        status = fill_rows(&batch, dataset, same, names, n);
        if (status.code != FTC_OK) break;
    }
    free(same);
    free(names);
    ftc_batch_free(&batch);
    return status;
}
