#include "compiler/artifact.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "compiler/codegen/object.h"
#include "ir/lang/parse.h"
#include "ir/print.h"

// What follows the ELF object in the file.
typedef struct {
    char magic[8];
    uint64_t size; // of the object
    XXH128_canonical_t hash;
} trailer;

static const char magic[8] = "FTC\nv1\r\n";

static trailer make_trailer(const ftc_object *object) {
    trailer t = {.size = object->size};
    memcpy(t.magic, magic, sizeof magic);
    XXH128_canonicalFromHash(&t.hash, XXH3_128bits(object->bytes, object->size));
    return t;
}

bool ftc_artifact_write(const char *path, const ftc_object *object, ftc_diagnostics *d) {
    trailer t = make_trailer(object);
    struct stat info;
    bool in_place =
        stat(path, &info) == 0 && !S_ISREG(info.st_mode); // a device or a pipe must not be replaced by a file
    char *beside;
    if (asprintf(&beside, in_place ? "%s" : "%s.tmp%d", path, (int)getpid()) < 0) abort();
    FILE *f = fopen(beside, in_place ? "wb" : "wbx");
    bool ok = f && fwrite(object->bytes, 1, object->size, f) == object->size &&
              fwrite(&t, sizeof t, 1, f) == 1 && fflush(f) == 0 && (in_place || fsync(fileno(f)) == 0);
    int error = errno;
    if (f && fclose(f) != 0 && ok) {
        ok = false;
        error = errno;
    }
    if (ok && !in_place && rename(beside, path) != 0) {
        ok = false;
        error = errno;
    }
    if (!ok) {
        if (f && !in_place) unlink(beside);
        ftc_diag_add(d, path, NULL, 0, 0, "cannot write the artifact: %s; choose another place with -o",
                     strerror(error));
    }
    free(beside);
    return ok;
}

bool ftc_artifact_read(const char *path, ftc_object *object, ftc_diagnostics *d) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        ftc_diag_add(d, path, NULL, 0, 0, "cannot read the artifact: %s; make it with `ftc compile MODEL.ir`",
                     strerror(errno));
        return false;
    }
    char *bytes = NULL;
    size_t size = 0, capacity = 0, got;
    do {
        if (size == capacity) bytes = realloc(bytes, capacity = capacity ? capacity * 2 : 1 << 20);
        got = fread(bytes + size, 1, capacity - size, f);
        size += got;
    } while (got > 0);
    bool read_error = ferror(f);
    fclose(f);
    ftc_object found = {bytes, size > sizeof(trailer) ? size - sizeof(trailer) : 0};
    bool ok = !read_error && found.size > 0;
    if (ok) {
        trailer expected = make_trailer(&found);
        ok = !memcmp(&expected, bytes + found.size, sizeof expected);
    }
    if (!ok) {
        ftc_diag_add(d, path, NULL, 0, 0,
                     "not an artifact of this version of ftc, or damaged (its hash does not match); "
                     "make it again with `ftc compile`");
        free(bytes);
        return false;
    }
    *object = found;
    return true;
}

char *ftc_artifact_section(const ftc_object *object, const char *name, ftc_diagnostics *d) {
    char section[64], *error = NULL;
    size_t size;
    snprintf(section, sizeof section, ".ftc.%s", name);
    char *text = ftc_object_read_section(object->bytes, object->size, section, &size, &error);
    if (!text)
        ftc_diag_add(d, NULL, NULL, 0, 0, "the artifact has no section %s (%s)", section, error ? error : "");
    free(error);
    return text;
}

// --- manifest to program ------------------------------------------------------------------------------

struct ftc_loaded_program {
    ftc_program program;
    ftc_loaded_object *code;
    cJSON *manifest; // owns the strings
    char *source;
    const char **skip; // [n_skip] the passes that were left out
    int32_t n_skip;
};

static const char *text_of(const cJSON *o, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItem(o, name));
}

static double number_of(const cJSON *o, const char *name) {
    const cJSON *item = cJSON_GetObjectItem(o, name);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static int32_t int_of(const cJSON *o, const char *name) {
    return (int32_t)number_of(o, name);
}

// Allocates `n` elements for the array `name` of the manifest.
static void *table_for(const cJSON *manifest, const char *name, size_t size, int32_t *n) {
    *n = cJSON_GetArraySize(cJSON_GetObjectItem(manifest, name));
    return calloc((size_t)*n + 1, size);
}

static const ftc_setting *read_settings(const cJSON *manifest, const char *name, int32_t *n) {
    ftc_setting *settings = table_for(manifest, name, sizeof *settings, n);
    const cJSON *o;
    int i = 0;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(manifest, name))
        settings[i++] = (ftc_setting){text_of(o, "name"), text_of(o, "hf_name"), text_of(o, "text"),
                                      number_of(o, "number")};
    return settings;
}

static void read_manifest(ftc_loaded_program *loaded) {
    const cJSON *m = loaded->manifest, *o;
    ftc_program *p = &loaded->program;
    *p = (ftc_program){.model = text_of(m, "model"),
                       .source = loaded->source,
                       .pretrained = text_of(m, "pretrained"),
                       .precision = text_of(m, "precision"),
                       .features = text_of(m, "cpu"),
                       .needs_sgemm = cJSON_IsTrue(cJSON_GetObjectItem(m, "needs_sgemm")),
                       .flops_per_token = number_of(m, "flops_per_token"),
                       .flops_per_token_squared = number_of(m, "flops_per_token_squared"),
                       .compile_seconds = number_of(m, "compile_seconds")};
    int i = 0;
    ftc_tensor_info *tensors = table_for(m, "tensors", sizeof *tensors, &p->n_tensors);
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(m, "tensors")) {
        ftc_tensor_info *t = &tensors[i++];
        *t = (ftc_tensor_info){.name = text_of(o, "name"),
                               .role = (ftc_tensor_role)int_of(o, "role"),
                               .dtype = (ftc_dtype)int_of(o, "dtype"),
                               .of = int_of(o, "of"),
                               .by = int_of(o, "by"),
                               .trainable = int_of(o, "trainable"),
                               .zero_row = int_of(o, "zero_row"),
                               .init = (ftc_init_kind)int_of(o, "init"),
                               .init_std = number_of(o, "init_std")};
        const cJSON *dim;
        cJSON_ArrayForEach(dim, cJSON_GetObjectItem(o, "dims"))
            if (t->rank < FTC_MAX_DIMS) t->dims[t->rank++] = (int64_t)dim->valuedouble;
    }
    p->tensors = tensors;
    ftc_input_info *inputs = table_for(m, "inputs", sizeof *inputs, &p->n_inputs);
    i = 0;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(m, "inputs"))
        inputs[i++] = (ftc_input_info){text_of(o, "name"), (ftc_dtype)int_of(o, "dtype"),
                                       int_of(o, "per_token"), (int64_t)number_of(o, "bound")};
    p->inputs = inputs;
    ftc_scalar_info *scalars = table_for(m, "scalars", sizeof *scalars, &p->n_scalars);
    i = 0;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(m, "scalars"))
        scalars[i++] = (ftc_scalar_info){text_of(o, "name"), (float)number_of(o, "value"),
                                         (ftc_scalar_role)int_of(o, "role")};
    p->scalars = scalars;
    ftc_output_info *outputs = table_for(m, "outputs", sizeof *outputs, &p->n_outputs);
    i = 0;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(m, "outputs"))
        outputs[i++] =
            (ftc_output_info){text_of(o, "name"), (ftc_dtype)int_of(o, "dtype"), int_of(o, "per_sequence"),
                              (int64_t)number_of(o, "columns"), (uint32_t)int_of(o, "entries")};
    p->outputs = outputs;
    ftc_extent_info *extents = table_for(m, "extents", sizeof *extents, &p->n_extents);
    i = 0;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(m, "extents"))
        extents[i++] =
            (ftc_extent_info){text_of(o, "name"), int_of(o, "ragged_over"), (int64_t)number_of(o, "bound")};
    p->extents = extents;
    p->config = read_settings(m, "config", &p->n_config);
    p->train = read_settings(m, "train", &p->n_train);
    loaded->skip = table_for(m, "skip", sizeof *loaded->skip, &loaded->n_skip);
    i = 0;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(m, "skip")) loaded->skip[i++] = cJSON_GetStringValue(o);
}

static ftc_kernel_info *read_kernel_info(const cJSON *array, int n) {
    ftc_kernel_info *infos = calloc((size_t)n + 1, sizeof *infos);
    const cJSON *o;
    int i = 0;
    cJSON_ArrayForEach(o, array) {
        double x[11] = {0};
        for (int k = 0; k < 11; k++) x[k] = cJSON_GetNumberValue(cJSON_GetArrayItem(o, k));
        infos[i++] = (ftc_kernel_info){.line = (int32_t)x[0],
                                       .phase = (ftc_phase)x[1],
                                       .live_bytes = (int64_t)x[2],
                                       .flops = {x[3], x[4], x[5], x[6]},
                                       .bytes = {x[7], x[8], x[9], x[10]}};
    }
    return infos;
}

// The entries but for their functions; one that was not compiled has no kernels.
static void read_entries(ftc_loaded_program *loaded) {
    const cJSON *o, *kernel;
    int i = 0;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(loaded->manifest, "entries")) {
        if (i == FTC_ENTRY_COUNT) break;
        ftc_entry *entry = &loaded->program.entries[i++];
        if (!text_of(o, "symbol")) continue;
        entry->arena_bytes = (int64_t)number_of(o, "arena_bytes");
        entry->scratch_bytes = (int64_t)number_of(o, "scratch_bytes");
        entry->peak_live_bytes = (int64_t)number_of(o, "peak_live_bytes");
        const char **kernels = table_for(o, "kernels", sizeof *kernels, &entry->n_kernels);
        int n = 0;
        cJSON_ArrayForEach(kernel, cJSON_GetObjectItem(o, "kernels"))
            kernels[n++] = cJSON_GetStringValue(kernel);
        entry->kernels = kernels;
        const cJSON *info = cJSON_GetObjectItem(o, "kernel_info");
        if (cJSON_GetArraySize(info) == n) entry->kernel_info = read_kernel_info(info, n);
    }
}

ftc_compile_options ftc_program_options(const ftc_loaded_program *loaded) {
    const ftc_program *p = &loaded->program;
    ftc_compile_options options = {
        .skip = loaded->skip,
        .n_skip = loaded->n_skip,
        .use_blas = p->needs_sgemm,
        .bf16 = p->precision && !strcmp(p->precision, "bf16"),
        .memory_budget_bytes = (int64_t)number_of(loaded->manifest, "memory_budget_bytes"),
        .pretrained = p->pretrained,
        .source_text = p->source,
    };
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (p->entries[i].kernels) options.entries |= 1u << i;
    return options;
}

// Compiles the source of a described program for this machine. What was tuned was tuned for another.
static bool compile_again(const ftc_loaded_program *loaded, ftc_object *object, ftc_diagnostics *d) {
    ftc_graph *g = ftc_parse_text("artifact", loaded->source, NULL, d);
    if (!g) return false;
    const ftc_program *p = &loaded->program;
    for (uint32_t i = 0; i < g->n_train; i++) // whoever compiled it has made paths of the source his own
        for (int32_t k = 0; k < p->n_train; k++)
            if (p->train[k].text && !strcmp(p->train[k].name, g->train[i].name))
                g->train[i].text = p->train[k].text;
    ftc_compile_options options = ftc_program_options(loaded);
    bool ok = ftc_compile(g, &options, object, d);
    ftc_graph_free(g);
    return ok;
}

ftc_loaded_program *ftc_program_describe(const ftc_object *object, ftc_diagnostics *d) {
    char *text = ftc_artifact_section(object, "manifest", d);
    char *source = text ? ftc_artifact_section(object, "source", d) : NULL;
    cJSON *manifest = source ? cJSON_Parse(text) : NULL;
    free(text);
    if (!manifest || int_of(manifest, "abi") != FTC_STEP_ABI_VERSION) {
        if (source)
            ftc_diag_add(d, NULL, NULL, 0, 0,
                         "the artifact is of another version of ftc; make it again with `ftc compile`");
        cJSON_Delete(manifest);
        free(source);
        return NULL;
    }
    ftc_loaded_program *loaded = calloc(1, sizeof *loaded);
    loaded->manifest = manifest;
    loaded->source = source;
    read_manifest(loaded);
    read_entries(loaded);
    return loaded;
}

// Loads the code of a described program, for which this machine has all features.
static bool load_code(ftc_loaded_program *loaded, const ftc_object *object, ftc_diagnostics *d) {
    char *error = NULL;
    loaded->code = ftc_object_load(object->bytes, object->size, &error);
    if (!loaded->code) {
        ftc_diag_add(d, NULL, NULL, 0, 0, "cannot load the artifact's code: %s",
                     error ? error : "out of memory");
        free(error);
        return false;
    }
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        ftc_entry *entry = &loaded->program.entries[i];
        if (!entry->kernels) continue;
        char symbol[64];
        snprintf(symbol, sizeof symbol, "ftc_%s", ftc_entry_name((ftc_entry_kind)i));
        entry->fn = (ftc_entry_fn *)ftc_object_lookup(loaded->code, symbol, &error);
        if (!entry->fn) {
            ftc_diag_add(d, NULL, NULL, 0, 0, "the artifact has no function %s (%s)", symbol,
                         error ? error : "");
            free(error);
            return false;
        }
    }
    return true;
}

ftc_loaded_program *ftc_program_load(const ftc_object *object, bool *recompiled, ftc_diagnostics *d) {
    ftc_loaded_program *loaded = ftc_program_describe(object, d);
    if (!loaded) return NULL;
    const char *features = text_of(loaded->manifest, "features");
    bool fits = ftc_target_features_supported_here(features ? features : "");
    ftc_object again = {0};
    if (!fits) {
        bool ok = compile_again(loaded, &again, d);
        ftc_program_unload(loaded);
        loaded = ok ? ftc_program_describe(&again, d) : NULL;
    }
    if (loaded && !load_code(loaded, fits ? object : &again, d)) {
        ftc_program_unload(loaded);
        loaded = NULL;
    }
    free(again.bytes);
    if (loaded) *recompiled = !fits;
    return loaded;
}

ftc_tuned ftc_program_tuned(const ftc_loaded_program *loaded, const ftc_target *target) {
    ftc_tuned tuned = {0};
    const char *cpu = text_of(loaded->manifest, "cpu");
    const cJSON *o;
    if (!cpu || strcmp(cpu, target->cpu)) return tuned;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(loaded->manifest, "tuned")) {
        const char *contraction = text_of(o, "contraction"), *plan = text_of(o, "plan");
        if (contraction && plan) ftc_tuned_add(&tuned, contraction, plan, number_of(o, "gain"));
    }
    return tuned;
}

const ftc_program *ftc_program_of(const ftc_loaded_program *loaded) {
    return &loaded->program;
}

void ftc_program_unload(ftc_loaded_program *loaded) {
    ftc_program *p = &loaded->program;
    if (loaded->code) ftc_object_unload(loaded->code);
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        free((void *)p->entries[i].kernels);
        free((void *)p->entries[i].kernel_info);
    }
    free((void *)p->tensors);
    free((void *)p->inputs);
    free((void *)p->scalars);
    free((void *)p->outputs);
    free((void *)p->extents);
    free((void *)p->config);
    free((void *)p->train);
    free(loaded->skip);
    cJSON_Delete(loaded->manifest);
    free(loaded->source);
    free(loaded);
}
