// The manifest of an artifact: what is written is read back; what is damaged is refused, and the field named.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "compiler/manifest.h"
#include "ir/lang/parse.h"

// --- a manifest with something in every field ---------------------------------------------------------

static void fill_fields(const ftc_field *fields, char *structure, ftc_arena *arena, int *seed);

// A value that the field may have: where its range allows, another for each `seed`.
static int64_t integer_for(const ftc_field *f, int seed) {
    if (f->below) return seed % 3 - 1;
    if (!f->least && !f->most) return seed;
    double width = f->most - f->least + 1;
    return (int64_t)f->least + (width < 1e6 ? seed % (int64_t)width : seed);
}

static void fill_element(const ftc_field *f, char *element, ftc_arena *arena, int *seed) {
    int value = ++*seed;
    char text[64];
    snprintf(text, sizeof text, "\"text\" %d \\ \t\xc3\xa4", value);
    bool is_null = f->optional && value % 2;
    switch (f->type) {
    case FTC_FIELD_TEXT: *(const char **)element = is_null ? NULL : ftc_arena_strdup(arena, text); break;
    case FTC_FIELD_I32: *(int32_t *)element = (int32_t)integer_for(f, value); break;
    case FTC_FIELD_U32: *(uint32_t *)element = (uint32_t)integer_for(f, value); break;
    case FTC_FIELD_I64: *(int64_t *)element = integer_for(f, value) << 40; break;
    case FTC_FIELD_F32: *(float *)element = 1.0F / (float)value; break;
    case FTC_FIELD_F64: *(double *)element = -1.0 / value; break;
    case FTC_FIELD_STRUCT: fill_fields(f->fields, element, arena, seed);
    }
}

static void fill_fields(const ftc_field *fields, char *structure, ftc_arena *arena, int *seed) {
    for (const ftc_field *f = fields; f->name; f++) {
        char *element = structure + f->offset;
        int32_t n = f->shape == FTC_FIELD_ONE ? 1 : f->shape == FTC_FIELD_ALL ? (int32_t)f->room : 3;
        if (f->shape >= FTC_FIELD_PREFIX) *(int32_t *)(structure + f->count) = n;
        if (f->shape == FTC_FIELD_LIST) {
            element = ftc_arena_alloc(arena, (size_t)n * f->size);
            *(char **)(structure + f->offset) = element;
        }
        for (int32_t i = 0; i < n; i++) fill_element(f, element + (size_t)i * f->size, arena, seed);
    }
}

static ftc_manifest *filled(void) {
    ftc_manifest *m = ftc_manifest_new();
    int seed = 1;
    fill_fields(ftc_manifest_fields, (char *)m, m->arena, &seed);
    return m;
}

// --- comparing ----------------------------------------------------------------------------------------

static int compare_fields(const ftc_field *fields, const char *a, const char *b, const char *path);

static void compare_element(const ftc_field *f, const char *a, const char *b, const char *path,
                            int *compared) {
    if (f->type == FTC_FIELD_STRUCT) {
        *compared += compare_fields(f->fields, a, b, path);
        return;
    }
    ++*compared;
    if (f->type != FTC_FIELD_TEXT) {
        cr_expect_arr_eq(a, b, f->size, "%s differs", path);
        return;
    }
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    cr_expect(!left == !right && (!left || !strcmp(left, right)), "%s: %s is not %s", path, left, right);
    cr_expect(!left || left != right, "%s is borrowed", path);
}

// How many values were compared.
static int compare_fields(const ftc_field *fields, const char *a, const char *b, const char *path) {
    int compared = 0;
    for (const ftc_field *f = fields; f->name; f++) {
        char here[256];
        int32_t n = f->shape == FTC_FIELD_ONE ? 1 : (int32_t)f->room;
        const char *left = a + f->offset, *right = b + f->offset;
        if (f->shape >= FTC_FIELD_PREFIX) {
            n = *(const int32_t *)(a + f->count);
            cr_assert_eq(*(const int32_t *)(b + f->count), n, "%s.%s has another number of elements", path,
                         f->name);
        }
        if (f->shape == FTC_FIELD_LIST) left = *(char *const *)left, right = *(char *const *)right;
        for (int32_t i = 0; i < n; i++) {
            snprintf(here, sizeof here, "%s.%s[%d]", path, f->name, i);
            compare_element(f, left + (size_t)i * f->size, right + (size_t)i * f->size, here, &compared);
        }
    }
    return compared;
}

static ftc_manifest *read_back(const char *text) {
    ftc_diagnostics d = {0};
    ftc_manifest *m = ftc_manifest_read(text, &d);
    cr_assert(m, "%s", d.count ? d.list[0].text : "");
    return m;
}

Test(manifest, comes_back_as_it_was_written) {
    ftc_manifest *m = filled();
    char *text = ftc_manifest_write(m);
    ftc_manifest *again = read_back(text);
    cr_expect_gt(compare_fields(ftc_manifest_fields, (const char *)m, (const char *)again, "manifest"), 100);
    ftc_manifest_free(again);
    free(text);
    ftc_manifest_free(m);
}

Test(manifest, owns_what_it_is_told_to_own) {
    ftc_manifest *lender = filled(), *m = ftc_manifest_new();
    ftc_arena *arena = m->arena;
    *m = *lender;
    m->arena = arena;
    ftc_manifest_own(m);
    cr_expect_gt(compare_fields(ftc_manifest_fields, (const char *)lender, (const char *)m, "manifest"), 100);
    ftc_manifest_free(lender);
    free(ftc_manifest_write(m)); // reads all of it
    ftc_manifest_free(m);
}

// Defaults of arguments may be infinite, which JSON's numbers are not.
Test(manifest, keeps_numbers_that_are_none) {
    const double values[] = {INFINITY, -INFINITY, NAN, 1e300, 5e-324};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        ftc_manifest *m = filled();
        m->program.compile_seconds = values[i];
        char *text = ftc_manifest_write(m);
        ftc_manifest *again = read_back(text);
        cr_expect(!memcmp(&again->program.compile_seconds, &values[i], sizeof *values) ||
                      (isnan(values[i]) && isnan(again->program.compile_seconds)),
                  "%g became %g", values[i], again->program.compile_seconds);
        ftc_manifest_free(again);
        free(text);
        ftc_manifest_free(m);
    }
}

// --- coverage -----------------------------------------------------------------------------------------

// Marks the bytes of the structure that its table covers.
static void mark(const ftc_field *f, bool *covered) {
    size_t bytes = f->shape == FTC_FIELD_LIST ? sizeof(void *) : f->size * (f->room ? f->room : 1);
    memset(covered + f->offset, 1, bytes);
    if (f->shape >= FTC_FIELD_PREFIX) memset(covered + f->count, 1, sizeof(int32_t));
}

// Asserts that the table lacks no member, unless it looks like padding: 4 bytes before a multiple of 8.
static void expect_covered(const char *name, const ftc_field *fields, size_t size, size_t but, size_t n_but) {
    bool covered[4096] = {0};
    cr_assert_leq(size, sizeof covered);
    for (const ftc_field *f = fields; f->name; f++) mark(f, covered);
    memset(covered + but, 1, n_but);
    for (size_t at = 0; at < size;) {
        size_t gap = at;
        while (gap < size && !covered[gap]) gap++;
        cr_expect(gap - at < 8 && (gap == at || gap % 8 == 0),
                  "%s has a member at offset %zu that its table lacks", name, at);
        at = gap + 1;
    }
}

static const ftc_field *table(const ftc_field *in, const char *name) {
    while (in->name && strcmp(in->name, name)) in++;
    cr_assert(in->fields, "there is no table for %s", name);
    return in->fields;
}

Test(manifest, tells_of_every_member) {
    const ftc_field *program = table(ftc_manifest_fields, "program"), *entry = table(program, "entries"),
                    *kernel = table(entry, "kernel_info");
    // Kernels lie in sections of their own.
    expect_covered("ftc_manifest", ftc_manifest_fields, sizeof(ftc_manifest), offsetof(ftc_manifest, kernels),
                   sizeof(ftc_manifest) - offsetof(ftc_manifest, kernels));
    expect_covered("ftc_program", program, sizeof(ftc_program), offsetof(ftc_program, source),
                   sizeof(void *));
    expect_covered("ftc_entry", entry, sizeof(ftc_entry), offsetof(ftc_entry, fn), sizeof(void *));
    expect_covered("ftc_kernel_info", kernel, sizeof(ftc_kernel_info), 0, 0);
    expect_covered("ftc_count_info", table(program, "counts"), sizeof(ftc_count_info), 0, 0);
    expect_covered("ftc_axis_info", table(table(program, "inputs"), "axes"), sizeof(ftc_axis_info), 0, 0);
    expect_covered("ftc_tensor_info", table(program, "tensors"), sizeof(ftc_tensor_info), 0, 0);
    expect_covered("ftc_input_info", table(program, "inputs"), sizeof(ftc_input_info), 0, 0);
    expect_covered("ftc_output_info", table(program, "outputs"), sizeof(ftc_output_info), 0, 0);
    expect_covered("ftc_scalar_info", table(program, "scalars"), sizeof(ftc_scalar_info), 0, 0);
    const ftc_field *formula = table(table(program, "scalars"), "formula");
    expect_covered("ftc_formula", formula, sizeof(ftc_formula), 0, 0);
    expect_covered("ftc_formula_code", table(formula, "code"), sizeof(ftc_formula_code), 0, 0);
    expect_covered("ftc_extent_info", table(program, "extents"), sizeof(ftc_extent_info), 0, 0);
    expect_covered("ftc_setting", table(program, "config"), sizeof(ftc_setting), 0, 0);
    expect_covered("ftc_tuned_plan", table(ftc_manifest_fields, "tuned"), sizeof(ftc_tuned_plan), 0, 0);
}

// docs/artifact.md tells of what stands in the manifest itself and in its program.
Test(manifest, is_described) {
    ftc_diagnostics d = {0};
    char *text = ftc_parse_read(FTC_SOURCE_ROOT "/docs/artifact.md", &d);
    cr_assert(text, "%s", d.count ? d.list[0].text : "");
    const ftc_field *const tables[] = {ftc_manifest_fields, table(ftc_manifest_fields, "program")};
    for (int i = 0; i < 2; i++) {
        for (const ftc_field *f = tables[i]; f->name; f++) {
            char quoted[64];
            snprintf(quoted, sizeof quoted, "`%s`", f->name);
            cr_expect(strstr(text, quoted), "docs/artifact.md does not tell of %s", f->name);
        }
    }
    free(text);
}

// --- damage -------------------------------------------------------------------------------------------

// Asserts that the manifest is refused, and that the message names `path`.
static void expect_refused(const cJSON *manifest, const char *path, const char *what) {
    ftc_diagnostics d = {0};
    char *text = cJSON_PrintUnformatted(manifest);
    cr_assert_null(ftc_manifest_read(text, &d), "accepted although %s %s", path, what);
    cr_assert_eq(d.count, 1);
    const char *at = strstr(d.list[0].text, path);
    cr_expect(at && strchr(" .[", at[strlen(path)]), "%s %s, and the message is: %s", path, what,
              d.list[0].text);
    ftc_diag_free(&d);
    free(text);
}

// Damages every item below `parent` in turn, in each way, and mends it again; the number of items.
static int damage(cJSON *manifest, cJSON *parent, const char *path) {
    int n = 0, index = 0;
    bool in_object = cJSON_IsObject(parent);
    for (cJSON *item = parent->child; item; item = item->next, index++, n++) {
        char here[256];
        if (in_object)
            snprintf(here, sizeof here, "%s%s%s", path, *path ? "." : "", item->string);
        else
            snprintf(here, sizeof here, "%s[%d]", path, index);
        cJSON was = *item;
        item->child = NULL;
        item->type = cJSON_True;
        expect_refused(manifest, here, "is true");
        *item = was;
        if (in_object) {
            item->string = (char *)"wrong name";
            expect_refused(manifest, here, "is missing");
            *item = was;
        }
        n += damage(manifest, item, here);
    }
    return n;
}

Test(manifest, is_refused_when_a_field_is_missing_or_of_another_kind) {
    ftc_manifest *m = filled();
    char *text = ftc_manifest_write(m);
    cJSON *json = cJSON_Parse(text);
    cr_expect_gt(damage(json, json, ""), 100);
    ftc_manifest_free(read_back(text));
    cJSON_Delete(json);
    free(text);
    ftc_manifest_free(m);
}

// The item at a path as messages have it: program.tensors[0].dims
static cJSON *item_at(cJSON *json, const char *path) {
    while (*path) {
        size_t n = strcspn(path, ".[]");
        char part[64];
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        json = cJSON_IsArray(json) ? cJSON_GetArrayItem(json, atoi(part)) : cJSON_GetObjectItem(json, part);
        cr_assert(json, "the manifest has no %s", path);
        path += n + strspn(path + n, ".[]");
    }
    return json;
}

static void expect_message(const cJSON *json, const char *message) {
    ftc_diagnostics d = {0};
    char *text = cJSON_PrintUnformatted(json);
    cr_expect_null(ftc_manifest_read(text, &d), "accepted, without: %s", message);
    cr_assert_eq(d.count, 1);
    cr_expect(strstr(d.list[0].text, message), "\"%s\" lacks \"%s\"", d.list[0].text, message);
    ftc_diag_free(&d);
    free(text);
}

Test(manifest, is_refused_when_a_number_is_out_of_range) {
    static const struct {
        const char *path;
        double value;
        const char *message;
    } cases[] = {
        {"abi", FTC_STEP_ABI_VERSION + 1, "another version of ftc: its manifest's abi is "},
        {"entries", 16, "entries is 16, not from 0 to 15"},
        {"program.tensors[0].of", 3, "program.tensors[0].of is 3, not from -1 to 2"},
        {"program.tensors[2].by", -2, "program.tensors[2].by is -2, not from -1 to 2"},
        {"program.tensors[0].dims[1]", -1, "program.tensors[0].dims[1] is -1"},
        {"program.tensors[0].dims[1]", 1e30, "program.tensors[0].dims[1] is 1"},
        {"program.tensors[0].zero_row", 3e9, "program.tensors[0].zero_row is 3000000000"},
        {"program.extents[1].ragged_over", 3, "program.extents[1].ragged_over is 3"},
        {"program.inputs[0].dtype", 1.5, "program.inputs[0].dtype is 1.5, which is no integer"},
        {"program.entries[3].kernel_info[0].phase", 4,
         "program.entries[3].kernel_info[0].phase is 4, not from 0 to 3"},
    };
    ftc_manifest *m = filled();
    char *text = ftc_manifest_write(m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = cJSON_Parse(text);
        cJSON_SetNumberValue(item_at(json, cases[i].path), cases[i].value);
        expect_message(json, cases[i].message);
        cJSON_Delete(json);
    }
    free(text);
    ftc_manifest_free(m);
}

Test(manifest, is_refused_when_an_array_is_of_another_size) {
    static const struct {
        const char *path;
        int change;
        const char *message;
    } cases[] = {
        {"program.entries", -1, "program.entries has 3 elements, not 4"},
        {"program.entries[1].kernels", -1, "program.entries[1].kernel_info has 3 elements, kernels has 2"},
        {"program.tensors[1].dims", 2, "program.tensors[1].dims has 5 elements, at most 4 are possible"},
    };
    ftc_manifest *m = filled();
    char *text = ftc_manifest_write(m);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *json = cJSON_Parse(text), *array = item_at(json, cases[i].path);
        if (cases[i].change < 0) cJSON_DeleteItemFromArray(array, 0);
        for (int k = 0; k < cases[i].change; k++) cJSON_AddItemToArray(array, cJSON_CreateNumber(1));
        expect_message(json, cases[i].message);
        cJSON_Delete(json);
    }
    free(text);
    ftc_manifest_free(m);
}

Test(manifest, is_refused_when_it_says_more_or_nothing) {
    ftc_diagnostics d = {0};
    ftc_manifest *m = filled();
    char *text = ftc_manifest_write(m);
    cJSON *json = cJSON_Parse(text);
    cJSON_AddNumberToObject(item_at(json, "program.inputs[2]"), "per_word", 1);
    expect_message(json, "program.inputs[2].per_word is not known");
    cJSON_Delete(json);
    static const char *const texts[] = {"", "[]", "{", "true"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cr_expect_null(ftc_manifest_read(texts[i], &d));
        cr_assert_eq(d.count, 1);
        cr_expect(strstr(d.list[0].text, "is no JSON object"), "%s", d.list[0].text);
        ftc_diag_free(&d);
        d = (ftc_diagnostics){0};
    }
    free(text);
    ftc_manifest_free(m);
}
