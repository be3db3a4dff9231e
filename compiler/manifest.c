#include "compiler/manifest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/base/alloc.h"
#include "json/value.h"

// --- the tables ---------------------------------------------------------------------------------------

// The members of the structure that OF stands for.
#define MEMBER(member)  (((OF *)0)->member)
#define ELEMENT(member) (MEMBER(member)[0])
#define TYPE(value)                                                                                          \
    _Generic((value),                                                                                        \
        char *: FTC_FIELD_TEXT,                                                                              \
        const char *: FTC_FIELD_TEXT,                                                                        \
        int32_t: FTC_FIELD_I32,                                                                              \
        uint32_t: FTC_FIELD_U32,                                                                             \
        int64_t: FTC_FIELD_I64,                                                                              \
        float: FTC_FIELD_F32,                                                                                \
        double: FTC_FIELD_F64,                                                                               \
        default: FTC_FIELD_STRUCT)

#define FIELD(member, form, value, ...)                                                                      \
    {.name = #member,                                                                                        \
     .type = TYPE(value),                                                                                    \
     .shape = FTC_FIELD_##form,                                                                              \
     .offset = offsetof(OF, member),                                                                         \
     .size = sizeof(value),                                                                                  \
     __VA_ARGS__}
#define ONE(member, ...) FIELD(member, ONE, MEMBER(member), __VA_ARGS__)
#define ALL(member, ...)                                                                                     \
    FIELD(member, ALL, ELEMENT(member), .room = sizeof MEMBER(member) / sizeof ELEMENT(member), __VA_ARGS__)
#define PREFIX(member, n, ...)                                                                               \
    FIELD(member, PREFIX, ELEMENT(member), .count = offsetof(OF, n),                                         \
          .room = sizeof MEMBER(member) / sizeof ELEMENT(member), __VA_ARGS__)
#define LIST(member, n, ...) FIELD(member, LIST, ELEMENT(member), .count = offsetof(OF, n), __VA_ARGS__)

// What else is to be said of one.
#define FROM_TO(first, last) .least = (first), .most = (last)
#define BELOW(n)             FROM_TO(0, (n) - 1)
#define NOT_NEGATIVE         FROM_TO(0, 9223372036854774784.0) // the largest double that an int64_t holds
#define INDEX_OF(n)          .below = offsetof(ftc_program, n) // a list that stands before, in PROGRAM
#define OPTIONAL             .optional = true

// One field, one line.
// clang-format off

#define OF ftc_kernel_info
static const ftc_field KERNEL[] = {
    ONE(line, NOT_NEGATIVE),
    ONE(phase, BELOW(FTC_PHASE_COUNT)),
    ONE(live_bytes, NOT_NEGATIVE),
    ONE(plain, OPTIONAL),
    LIST(flops, n_counts),
    LIST(bytes, n_counts),
    {0},
};
#undef OF

#define OF ftc_buffer_info
static const ftc_field BUFFER[] = {
    ONE(name),
    ONE(offset, NOT_NEGATIVE),
    ONE(bytes, NOT_NEGATIVE),
    {0},
};
#undef OF

#define OF ftc_entry
static const ftc_field ENTRY[] = {
    ONE(arena_bytes, NOT_NEGATIVE),
    ONE(scratch_bytes, NOT_NEGATIVE),
    ONE(peak_live_bytes, NOT_NEGATIVE),
    LIST(kernels, n_kernels),
    LIST(kernel_info, n_kernels, .fields = KERNEL),
    LIST(buffers, n_buffers, .fields = BUFFER),
    {0},
};
#undef OF

#define OF ftc_extent_info
static const ftc_field EXTENT[] = {
    ONE(name),
    ONE(ragged_over, INDEX_OF(n_extents)),
    ONE(bound, NOT_NEGATIVE),
    ONE(least, NOT_NEGATIVE),
    ONE(least_line, NOT_NEGATIVE),
    {0},
};
#undef OF

#define OF ftc_count_info
static const ftc_field COUNT[] = {
    PREFIX(extents, n, INDEX_OF(n_extents)),
    ONE(has_prefix, FROM_TO(0, 1)),
    {0},
};
#undef OF

#define OF ftc_axis_info
static const ftc_field AXIS[] = {
    ONE(name),
    ONE(extent, INDEX_OF(n_extents)),
    ONE(size, NOT_NEGATIVE),
    {0},
};
#undef OF

#define OF ftc_input_info
static const ftc_field INPUT[] = {
    ONE(name),
    ONE(dtype, FROM_TO(0, FTC_BOOL)),
    ONE(role, BELOW(FTC_INPUT_ROLE_COUNT)),
    ONE(column, OPTIONAL),
    ONE(bound, NOT_NEGATIVE),
    ONE(of, INDEX_OF(n_extents)),
    ONE(each, NOT_NEGATIVE),
    ONE(count, INDEX_OF(n_counts)),
    PREFIX(axes, rank, .fields = AXIS),
    {0},
};
#undef OF

#define OF ftc_formula_code
static const ftc_field FORMULA_CODE[] = {
    ONE(op, BELOW(FTC_FORMULA_COUNT)),
    ONE(scalar, INDEX_OF(n_scalars)),
    ONE(number),
    {0},
};
#undef OF

#define OF ftc_formula
static const ftc_field FORMULA[] = {
    LIST(code, n, .fields = FORMULA_CODE),
    {0},
};
#undef OF

#define OF ftc_scalar_info
static const ftc_field SCALAR[] = {
    ONE(name),
    ONE(value),
    ONE(role, BELOW(FTC_SCALAR_ROLE_COUNT)),
    ONE(formula, .fields = FORMULA),
    {0},
};
#undef OF

#define OF ftc_output_info
static const ftc_field OUTPUT[] = {
    ONE(name),
    ONE(dtype, FROM_TO(0, FTC_BOOL)),
    ONE(role, BELOW(FTC_OUTPUT_ROLE_COUNT)),
    ONE(of, INDEX_OF(n_tensors)),
    ONE(entries, BELOW(1 << FTC_ENTRY_COUNT)),
    ONE(each, NOT_NEGATIVE),
    ONE(count, INDEX_OF(n_counts)),
    PREFIX(axes, rank, .fields = AXIS),
    {0},
};
#undef OF

#define OF ftc_check_info
static const ftc_field CHECK[] = {
    ONE(what),
    ONE(axis),
    ONE(bound, NOT_NEGATIVE),
    ONE(of, INDEX_OF(n_extents)),
    ONE(line, NOT_NEGATIVE),
    ONE(extent, INDEX_OF(n_extents)),
    ONE(output, INDEX_OF(n_outputs)),
    {0},
};
#undef OF

#define OF ftc_tensor_info
static const ftc_field TENSOR[] = {
    ONE(name),
    ONE(role, BELOW(FTC_ROLE_COUNT)),
    ONE(dtype, FROM_TO(0, FTC_BOOL)),
    PREFIX(dims, rank, NOT_NEGATIVE),
    ONE(of, INDEX_OF(n_tensors)),
    ONE(by, INDEX_OF(n_inputs)),
    ONE(trainable, FROM_TO(0, 1)),
    ONE(each_micro_batch, FROM_TO(0, 1)),
    ONE(is_table, FROM_TO(0, 1)),
    ONE(is_sliced, FROM_TO(0, 1)),
    ONE(zero_row, FROM_TO(-1, INT32_MAX)),
    ONE(init, FROM_TO(0, FTC_INIT_UNIFORM)),
    ONE(init_scale),
    {0},
};
#undef OF

#define OF ftc_setting
static const ftc_field SETTING[] = {
    ONE(name),
    ONE(hf_name, OPTIONAL),
    ONE(text, OPTIONAL),
    ONE(number),
    ONE(role, BELOW(FTC_CONFIG_ROLE_COUNT)),
    {0},
};
#undef OF

#define OF ftc_program
static const ftc_field PROGRAM[] = {
    ONE(model),
    ONE(pretrained, OPTIONAL),
    ONE(precision),
    ONE(features),
    ONE(needs_sgemm, FROM_TO(0, 1)),
    ONE(guarded, FROM_TO(0, 1)),
    ONE(compile_seconds),
    LIST(config, n_config, .fields = SETTING),
    LIST(family, n_family, .fields = SETTING),
    LIST(train, n_train, .fields = SETTING),
    LIST(extents, n_extents, .fields = EXTENT),
    LIST(counts, n_counts, .fields = COUNT),
    LIST(nominal_flops, n_counts),
    LIST(inputs, n_inputs, .fields = INPUT),
    LIST(scalars, n_scalars, .fields = SCALAR),
    LIST(tensors, n_tensors, .fields = TENSOR),
    LIST(outputs, n_outputs, .fields = OUTPUT),
    LIST(checks, n_checks, .fields = CHECK),
    ALL(entries, .fields = ENTRY),
    {0},
};
#undef OF

#define OF ftc_tuned_plan
static const ftc_field TUNED[] = {
    ONE(contraction),
    ONE(plan),
    ONE(gain),
    {0},
};
#undef OF

#define OF ftc_manifest
const ftc_field ftc_manifest_fields[] = {
    ONE(abi, FROM_TO(FTC_STEP_ABI_VERSION, FTC_STEP_ABI_VERSION)),
    ONE(cpu_features),
    ONE(entries, BELOW(1 << FTC_ENTRY_COUNT)),
    ONE(memory_budget_bytes, NOT_NEGATIVE),
    LIST(skip, n_skip),
    LIST(schedule, n_schedule),
    LIST(tuned, n_tuned, .fields = TUNED),
    ALL(dumps, OPTIONAL),
    ONE(program, .fields = PROGRAM),
    {0},
};
#undef OF

// clang-format on

// --- elements -----------------------------------------------------------------------------------------

static int32_t *count_of(const ftc_field *f, const char *structure) {
    return (int32_t *)(structure + f->count);
}

// The elements that the field of a structure has, and how many.
static char *elements_of(const ftc_field *f, const char *structure, int32_t *n) {
    char *member = (char *)structure + f->offset;
    *n = f->shape == FTC_FIELD_ONE   ? 1
         : f->shape == FTC_FIELD_ALL ? (int32_t)f->room
                                     : *count_of(f, structure);
    return f->shape == FTC_FIELD_LIST ? *(char **)member : member;
}

static double get_number(const ftc_field *f, const char *element) {
    switch (f->type) {
    case FTC_FIELD_I32: return *(const int32_t *)element;
    case FTC_FIELD_U32: return *(const uint32_t *)element;
    case FTC_FIELD_I64: return (double)*(const int64_t *)element;
    case FTC_FIELD_F32: return *(const float *)element;
    default: return *(const double *)element;
    }
}

static void set_number(const ftc_field *f, char *element, double value) {
    switch (f->type) {
    case FTC_FIELD_I32: *(int32_t *)element = (int32_t)value; break;
    case FTC_FIELD_U32: *(uint32_t *)element = (uint32_t)value; break;
    case FTC_FIELD_I64: *(int64_t *)element = (int64_t)value; break;
    case FTC_FIELD_F32: *(float *)element = (float)value; break;
    default: *(double *)element = value;
    }
}

// --- owning -------------------------------------------------------------------------------------------

ftc_manifest *ftc_manifest_new(void) {
    ftc_arena *arena = ftc_arena_new();
    ftc_manifest *m = ftc_arena_alloc(arena, sizeof *m);
    m->abi = FTC_STEP_ABI_VERSION;
    m->arena = arena;
    return m;
}

void ftc_manifest_free(ftc_manifest *m) {
    if (m) ftc_arena_free(m->arena);
}

static void own_fields(const ftc_field *fields, char *structure, ftc_arena *arena) {
    for (const ftc_field *f = fields; f->name; f++) {
        int32_t n;
        char *element = elements_of(f, structure, &n);
        if (f->shape == FTC_FIELD_LIST) {
            char *copy = ftc_arena_alloc(arena, (size_t)n * f->size);
            if (n) memcpy(copy, element, (size_t)n * f->size);
            element = copy;
            *(char **)(structure + f->offset) = copy;
        }
        for (int32_t i = 0; i < n; i++, element += f->size) {
            if (f->type == FTC_FIELD_STRUCT) own_fields(f->fields, element, arena);
            const char **text = (const char **)element;
            if (f->type == FTC_FIELD_TEXT && *text) *text = ftc_arena_strdup(arena, *text);
        }
    }
}

void ftc_manifest_own(ftc_manifest *m) {
    own_fields(ftc_manifest_fields, (char *)m, m->arena);
}

void ftc_manifest_keep_kernels(ftc_manifest *m, const ftc_kernel_file *kernels, int n) {
    ftc_kernel_file *list = ftc_arena_alloc(m->arena, (size_t)n * sizeof *list);
    for (int i = 0; i < n; i++) {
        list[i] = (ftc_kernel_file){ftc_arena_strdup(m->arena, kernels[i].name),
                                    ftc_arena_alloc(m->arena, kernels[i].size), kernels[i].size};
        memcpy(list[i].bytes, kernels[i].bytes, kernels[i].size);
    }
    m->kernels = list;
    m->n_kernels = n;
}

// --- writing ------------------------------------------------------------------------------------------

static cJSON *write_fields(const ftc_field *fields, const char *structure);

// Exactly, which cJSON's own way of writing numbers is not. JSON has no word for those that are none.
static cJSON *write_number(double value) {
    if (isnan(value)) return cJSON_CreateString("nan");
    if (isinf(value)) return cJSON_CreateString(value < 0 ? "-inf" : "inf");
    char text[32];
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value) snprintf(text, sizeof text, "%.17g", value);
    return cJSON_CreateRaw(text);
}

static cJSON *write_element(const ftc_field *f, const char *element) {
    if (f->type == FTC_FIELD_STRUCT) return write_fields(f->fields, element);
    if (f->type != FTC_FIELD_TEXT) return write_number(get_number(f, element));
    const char *text = *(const char *const *)element;
    return text ? cJSON_CreateString(text) : cJSON_CreateNull();
}

static cJSON *write_fields(const ftc_field *fields, const char *structure) {
    cJSON *object = cJSON_CreateObject();
    for (const ftc_field *f = fields; f->name; f++) {
        int32_t n;
        const char *element = elements_of(f, structure, &n);
        cJSON *array = f->shape == FTC_FIELD_ONE ? NULL : cJSON_CreateArray();
        for (int32_t i = 0; array && i < n; i++)
            cJSON_AddItemToArray(array, write_element(f, element + (size_t)i * f->size));
        cJSON_AddItemToObject(object, f->name, array ? array : write_element(f, element));
    }
    return object;
}

char *ftc_manifest_write(const ftc_manifest *m) {
    cJSON *json = write_fields(ftc_manifest_fields, (const char *)m);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    return text;
}

// --- reading ------------------------------------------------------------------------------------------

// Where in the manifest reading is: program.tensors[3].role
typedef struct place {
    const struct place *in; // NULL: the manifest
    const char *name;
    int32_t index; // -1: no element of an array
} place;

typedef struct {
    ftc_manifest *manifest;
    ftc_diagnostics *d;
} reader;

static void print_place(const place *p, FILE *f) {
    if (p->in) {
        print_place(p->in, f);
        fputc('.', f);
    }
    fputs(p->name, f);
    if (p->index >= 0) fprintf(f, "[%d]", p->index);
}

__attribute__((format(printf, 3, 4))) static bool refuse(const reader *r, const place *p, const char *format,
                                                         ...) {
    ftc_text what;
    FILE *f = ftc_text_open(&what);
    print_place(p, f);
    va_list args;
    va_start(args, format);
    vfprintf(f, format, args);
    va_end(args);
    char *text = ftc_text_close(&what, NULL);
    ftc_diag_add(
        r->d, NULL, NULL, 0, 0,
        "the artifact is damaged or of another version of ftc: its manifest's %s; make it again with "
        "`ftc compile`",
        text);
    free(text);
    return false;
}

static bool read_fields(const reader *r, const place *p, const ftc_field *fields, const cJSON *object,
                        char *structure);

static bool read_text(const reader *r, const place *p, const ftc_field *f, const cJSON *item, char *element) {
    if (f->optional && cJSON_IsNull(item)) return true;
    if (!cJSON_IsString(item)) return refuse(r, p, " is no text");
    *(const char **)element = ftc_arena_strdup(r->manifest->arena, item->valuestring);
    return true;
}

// The values that a field may have, both inclusive.
static void range_of(const reader *r, const ftc_field *f, double *least, double *most) {
    static const double types[][2] = {[FTC_FIELD_I32] = {INT32_MIN, INT32_MAX},
                                      [FTC_FIELD_U32] = {0, UINT32_MAX},
                                      [FTC_FIELD_I64] = {-9223372036854775808.0, 9223372036854774784.0},
                                      [FTC_FIELD_F32] = {-INFINITY, INFINITY},
                                      [FTC_FIELD_F64] = {-INFINITY, INFINITY}};
    *least = types[f->type][0];
    *most = types[f->type][1];
    if (f->below) {
        *least = -1;
        *most = *(const int32_t *)((const char *)&r->manifest->program + f->below) - 1;
    } else if (f->least || f->most) {
        *least = f->least > *least ? f->least : *least;
        *most = f->most < *most ? f->most : *most;
    }
}

static bool read_number(const reader *r, const place *p, const ftc_field *f, const cJSON *item,
                        char *element) {
    static const double words[] = {NAN, INFINITY, -INFINITY};
    static const char *const names[] = {"nan", "inf", "-inf"};
    bool is_float = f->type == FTC_FIELD_F32 || f->type == FTC_FIELD_F64, found = cJSON_IsNumber(item);
    double value = found ? item->valuedouble : 0, least, most;
    for (int i = 0; is_float && cJSON_IsString(item) && i < 3; i++)
        if (!strcmp(item->valuestring, names[i])) value = words[i], found = true;
    if (!found) return refuse(r, p, " is no number");
    range_of(r, f, &least, &most);
    if (!is_float && value != nearbyint(value)) return refuse(r, p, " is %.17g, which is no integer", value);
    if ((value < least || value > most) && least == most)
        return refuse(r, p, " is %.17g, not %.17g", value, least);
    if (value < least || value > most)
        return refuse(r, p, " is %.17g, not from %.17g to %.17g", value, least, most);
    set_number(f, element, value);
    return true;
}

static bool read_element(const reader *r, const place *p, const ftc_field *f, const cJSON *item,
                         char *element) {
    if (f->type == FTC_FIELD_STRUCT) return read_fields(r, p, f->fields, item, element);
    return (f->type == FTC_FIELD_TEXT ? read_text : read_number)(r, p, f, item, element);
}

// Sets the number of elements of field `f` of `fields` to `n`. Two lists may share one.
static bool set_count(const reader *r, const place *p, const ftc_field *fields, const ftc_field *f,
                      char *structure, int32_t n) {
    if (f->shape == FTC_FIELD_ALL) {
        if (n == (int32_t)f->room) return true;
        return refuse(r, p, " has %d elements, not %zu", n, f->room);
    }
    if (f->shape == FTC_FIELD_PREFIX && n > (int32_t)f->room)
        return refuse(r, p, " has %d elements, at most %zu are possible", n, f->room);
    for (const ftc_field *before = fields; before < f; before++)
        if (before->count == f->count && before->shape >= FTC_FIELD_PREFIX && *count_of(f, structure) != n)
            return refuse(r, p, " has %d elements, %s has %d", n, before->name, *count_of(f, structure));
    *count_of(f, structure) = n;
    return true;
}

static bool read_array(const reader *r, const place *p, const ftc_field *fields, const ftc_field *f,
                       const cJSON *array, char *structure) {
    if (!cJSON_IsArray(array)) return refuse(r, p, " is no array");
    int32_t n = cJSON_GetArraySize(array);
    if (!set_count(r, p, fields, f, structure, n)) return false;
    if (f->shape == FTC_FIELD_LIST)
        *(char **)(structure + f->offset) = ftc_arena_alloc(r->manifest->arena, (size_t)n * f->size);
    char *element = elements_of(f, structure, &n);
    place at = *p;
    at.index = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        if (!read_element(r, &at, f, item, element)) return false;
        element += f->size;
        at.index++;
    }
    return true;
}

static bool read_fields(const reader *r, const place *p, const ftc_field *fields, const cJSON *object,
                        char *structure) {
    if (!cJSON_IsObject(object)) return refuse(r, p, " is no object");
    for (const ftc_field *f = fields; f->name; f++) {
        place at = {p, f->name, -1};
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, f->name);
        if (!item) return refuse(r, &at, " is missing");
        bool ok = f->shape == FTC_FIELD_ONE ? read_element(r, &at, f, item, structure + f->offset)
                                            : read_array(r, &at, fields, f, item, structure);
        if (!ok) return false;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        const ftc_field *f = fields;
        while (f->name && strcmp(f->name, item->string)) f++;
        if (!f->name) return refuse(r, &(place){p, item->string, -1}, " is not known");
    }
    return true;
}

ftc_manifest *ftc_manifest_read(const char *text, ftc_diagnostics *d) {
    cJSON *json = ftc_json_parse_object(text, strlen(text), NULL);
    if (!json) {
        ftc_diag_add(
            d, NULL, NULL, 0, 0,
            "the artifact is damaged: its manifest is no JSON object; make it again with `ftc compile`");
        return NULL;
    }
    ftc_manifest *m = ftc_manifest_new();
    if (!read_fields(&(reader){m, d}, NULL, ftc_manifest_fields, json, (char *)m)) {
        ftc_manifest_free(m);
        m = NULL;
    }
    cJSON_Delete(json);
    return m;
}
