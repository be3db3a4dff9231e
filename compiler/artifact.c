#include "compiler/artifact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "compiler/codegen/object.h"
#include "compiler/manifest.h"
#include "ir/base/alloc.h"
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

ftc_object ftc_artifact_object(const ftc_compiled *compiled) {
    const ftc_graph *step = compiled->graphs[FTC_ENTRY_STEP];
    char *manifest = ftc_manifest_write(compiled->manifest), *graph = step ? ftc_print_text(step) : NULL;
    const char *source = compiled->manifest->program.source;
    ftc_object_section sections[] = {{".ftc.source", source, strlen(source)},
                                     {".ftc.manifest", manifest, strlen(manifest)},
                                     {".ftc.graph", graph, graph ? strlen(graph) : 0}};
    ftc_object object;
    object.bytes = ftc_object_add_sections(compiled->code.bytes, compiled->code.size, sections, graph ? 3 : 2,
                                           &object.size);
    free(graph);
    free(manifest);
    return object;
}

static bool write_object(const ftc_object *object, FILE *f) {
    trailer t = make_trailer(object);
    return fwrite(object->bytes, 1, object->size, f) == object->size && fwrite(&t, sizeof t, 1, f) == 1 &&
           fflush(f) == 0;
}

bool ftc_artifact_write(const char *path, const ftc_compiled *compiled, ftc_diagnostics *d) {
    ftc_object object = ftc_artifact_object(compiled);
    struct stat info;
    // A device or a pipe must not be replaced by a file.
    bool in_place = stat(path, &info) == 0 && !S_ISREG(info.st_mode);
    char *beside = ftc_format(in_place ? "%s" : "%s.tmp%d", path, (int)getpid());
    FILE *f = fopen(beside, in_place ? "wb" : "wbx");
    // Code that nobody else changes: `ftc run` takes no other by itself.
    if (f && !in_place && fstat(fileno(f), &info) == 0)
        fchmod(fileno(f), info.st_mode & ~(mode_t)(S_IFMT | S_IWGRP | S_IWOTH));
    bool ok = f && write_object(&object, f) && (in_place || fsync(fileno(f)) == 0);
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
    free(object.bytes);
    return ok;
}

// All that is in a file; NULL after an error, which errno tells. To be freed.
static char *read_all(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *bytes = NULL;
    size_t capacity = 0, got;
    *size = 0;
    do {
        if (*size == capacity) bytes = ftc_realloc(bytes, capacity = capacity ? capacity * 2 : 1 << 20, 1);
        got = fread(bytes + *size, 1, capacity - *size, f);
        *size += got;
    } while (got > 0);
    int error = ferror(f) ? errno : 0;
    fclose(f);
    if (!error) return bytes;
    free(bytes);
    errno = error;
    return NULL;
}

bool ftc_artifact_read(const char *path, ftc_object *object, ftc_diagnostics *d) {
    size_t size;
    char *bytes = read_all(path, &size);
    if (!bytes) {
        ftc_diag_add(d, path, NULL, 0, 0, "cannot read the artifact: %s; make it with `ftc compile MODEL.ir`",
                     strerror(errno));
        return false;
    }
    if (size < 4 || memcmp(bytes, "\177ELF", 4) != 0) {
        ftc_diag_add(
            d, path, NULL, 0, 0,
            "not an artifact, which `ftc compile MODEL.ir` makes; a model's text is called NAME.ir, and "
            "each file of rows stands behind an option of its own, as --train");
        free(bytes);
        return false;
    }
    ftc_object found = {bytes, size > sizeof(trailer) ? size - sizeof(trailer) : 0};
    trailer expected = make_trailer(&found);
    if (!found.size || memcmp(&expected, bytes + found.size, sizeof expected)) {
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

static void read_kernels(const ftc_object *object, ftc_manifest *m) {
    ftc_kernel_file *list = NULL;
    int n = 0;
    for (;; n++) {
        ftc_kernel_file file = {.name = "of the artifact"};
        file.bytes = ftc_object_read_kernel(object->bytes, object->size, n, &file.size);
        if (!file.bytes) break;
        list = ftc_realloc(list, (size_t)(n + 1), sizeof *list);
        list[n] = file;
    }
    ftc_manifest_keep_kernels(m, list, n);
    for (int i = 0; i < n; i++) free(list[i].bytes);
    free(list);
}

ftc_manifest *ftc_artifact_describe(const ftc_object *object, ftc_diagnostics *d) {
    char *text = ftc_artifact_section(object, "manifest", d);
    char *source = text ? ftc_artifact_section(object, "source", d) : NULL;
    ftc_manifest *m = source ? ftc_manifest_read(text, d) : NULL;
    if (m) m->program.source = ftc_arena_strdup(m->arena, source);
    if (m) read_kernels(object, m);
    free(source);
    free(text);
    return m;
}

// --- compiling again ----------------------------------------------------------------------------------

ftc_compile_options ftc_manifest_options(const ftc_manifest *m) {
    static const char *const NAMES[FTC_ENTRY_COUNT] = {
        "the artifact's graph of step", "the artifact's graph of grad", "the artifact's graph of update",
        "the artifact's graph of eval"};
    ftc_compile_options options = {
        .entries = m->entries,
        .skip = m->skip,
        .n_skip = m->n_skip,
        .schedule = m->schedule,
        .n_schedule = m->n_schedule,
        .schedule_is_kept = true,
        .use_blas = m->program.needs_sgemm,
        .bf16 = !strcmp(m->program.precision, "bf16"),
        .guard = m->program.guarded,
        .memory_budget_bytes = m->memory_budget_bytes,
        .pretrained = m->program.pretrained,
        .source_text = m->program.source,
        .kernels = m->kernels,
        .n_kernels = m->n_kernels,
    };
    for (int i = 0; i < FTC_ENTRY_COUNT; i++)
        if (m->dumps[i]) options.dumps[i] = (ftc_dump){NAMES[i], m->dumps[i]};
    return options;
}

ftc_tuned ftc_manifest_tuned(const ftc_manifest *m, const ftc_target *target) {
    ftc_tuned tuned = {0};
    if (strcmp(m->program.features, target->cpu)) return tuned;
    for (int32_t i = 0; i < m->n_tuned; i++)
        ftc_tuned_add(&tuned, m->tuned[i].contraction, m->tuned[i].plan, m->tuned[i].gain);
    return tuned;
}

// Compiles a described program for this machine. What was tuned was tuned for another.
static bool compile_again(const ftc_manifest *m, ftc_compiled *compiled, ftc_diagnostics *d) {
    const ftc_program *p = &m->program;
    if (m->n_kernels) {
        ftc_diag_add(
            d, NULL, NULL, 0, 0,
            "%s has kernels of its own (--kernel), compiled with it for another CPU than this; compile it "
            "here, with --kernel",
            p->model);
        return false;
    }
    ftc_graph *g = ftc_parse_text("artifact", p->source, NULL, d);
    if (!g) return false;
    for (uint32_t i = 0; i < g->n_train; i++) // whoever compiled it has made paths of the source his own
        for (int32_t k = 0; k < p->n_train; k++)
            if (p->train[k].text && !strcmp(p->train[k].name, g->train[i].name))
                g->train[i].text = p->train[k].text;
    ftc_compile_options options = ftc_manifest_options(m);
    bool ok = ftc_compile(g, &options, compiled, d);
    ftc_graph_free(g);
    return ok;
}

// --- programs -----------------------------------------------------------------------------------------

struct ftc_loaded_program {
    ftc_manifest *manifest; // and its program
    ftc_loaded_object *code;
};

// Finds the functions of a program in its code.
static bool find_functions(ftc_loaded_program *loaded, ftc_diagnostics *d) {
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) {
        if (!(loaded->manifest->entries >> i & 1)) continue;
        ftc_entry *entry = &loaded->manifest->program.entries[i];
        char symbol[64], *error = NULL;
        snprintf(symbol, sizeof symbol, "ftc_%s", ftc_entry_name((ftc_entry_kind)i));
        entry->fn = (ftc_entry_fn *)ftc_object_lookup(loaded->code, symbol, &error);
        if (entry->fn) continue;
        ftc_diag_add(d, NULL, NULL, 0, 0, "the artifact has no function %s (%s)", symbol, error ? error : "");
        free(error);
        return false;
    }
    return true;
}

// A program of this code, which this machine has all features for. Takes the manifest, in any case.
static ftc_loaded_program *load(ftc_manifest *manifest, const ftc_object *object, ftc_diagnostics *d) {
    ftc_loaded_program *loaded = ftc_alloc(1, sizeof *loaded);
    char *error = NULL;
    *loaded = (ftc_loaded_program){manifest, ftc_object_load(object->bytes, object->size, &error)};
    if (!loaded->code)
        ftc_diag_add(d, NULL, NULL, 0, 0, "cannot load the code: %s", error ? error : "out of memory");
    free(error);
    if (loaded->code && find_functions(loaded, d)) return loaded;
    ftc_program_unload(loaded);
    return NULL;
}

static bool runs_here(const ftc_manifest *manifest, const ftc_object *object) {
    return ftc_target_features_supported_here(ftc_object_arch(object->bytes, object->size),
                                              manifest->cpu_features);
}

ftc_loaded_program *ftc_program_take(ftc_compiled *compiled, ftc_diagnostics *d) {
    ftc_manifest *manifest = compiled->manifest;
    ftc_loaded_program *loaded = NULL;
    if (runs_here(manifest, &compiled->code)) {
        compiled->manifest = NULL;
        loaded = load(manifest, &compiled->code, d);
    } else {
        const ftc_arch *arch = ftc_object_arch(compiled->code.bytes, compiled->code.size);
        bool is_foreign = arch && arch != ftc_target_host()->arch;
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "%s is compiled for %s; to run it here, compile it for this machine (--target native)",
                     manifest->program.model,
                     is_foreign ? arch->name : "CPU features that this machine lacks");
    }
    ftc_compiled_free(compiled);
    return loaded;
}

ftc_loaded_program *ftc_program_load(const ftc_object *object, bool *recompiled, ftc_diagnostics *d) {
    ftc_manifest *m = ftc_artifact_describe(object, d);
    if (!m) return NULL;
    ftc_loaded_program *loaded = NULL;
    ftc_compiled again;
    bool fits = runs_here(m, object);
    if (fits) {
        loaded = load(m, object, d);
    } else {
        if (compile_again(m, &again, d)) loaded = ftc_program_take(&again, d);
        ftc_manifest_free(m);
    }
    if (loaded) *recompiled = !fits;
    return loaded;
}

const ftc_manifest *ftc_program_manifest(const ftc_loaded_program *loaded) {
    return loaded->manifest;
}

const ftc_program *ftc_program_of(const ftc_loaded_program *loaded) {
    return &loaded->manifest->program;
}

void ftc_program_unload(ftc_loaded_program *loaded) {
    ftc_object_unload(loaded->code);
    ftc_manifest_free(loaded->manifest);
    free(loaded);
}
