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
    ftc_manifest *manifest; // and its program
    ftc_loaded_object *code;
    char *source;
};

ftc_compile_options ftc_program_options(const ftc_loaded_program *loaded) {
    const ftc_manifest *m = loaded->manifest;
    return (ftc_compile_options){
        .entries = m->entries,
        .skip = m->skip,
        .n_skip = m->n_skip,
        .use_blas = m->program.needs_sgemm,
        .bf16 = !strcmp(m->program.precision, "bf16"),
        .memory_budget_bytes = m->memory_budget_bytes,
        .pretrained = m->program.pretrained,
        .source_text = m->program.source,
    };
}

// Compiles the source of a described program for this machine. What was tuned was tuned for another.
static bool compile_again(const ftc_loaded_program *loaded, ftc_object *object, ftc_diagnostics *d) {
    ftc_graph *g = ftc_parse_text("artifact", loaded->source, NULL, d);
    if (!g) return false;
    const ftc_program *p = ftc_program_of(loaded);
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
    ftc_manifest *manifest = source ? ftc_manifest_read(text, d) : NULL;
    free(text);
    if (!manifest) {
        free(source);
        return NULL;
    }
    manifest->program.source = source;
    ftc_loaded_program *loaded = calloc(1, sizeof *loaded);
    loaded->manifest = manifest;
    loaded->source = source;
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
        if (!(loaded->manifest->entries >> i & 1)) continue;
        ftc_entry *entry = &loaded->manifest->program.entries[i];
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
    bool fits = ftc_target_features_supported_here(loaded->manifest->cpu_features);
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
    const ftc_manifest *m = loaded->manifest;
    if (strcmp(m->program.features, target->cpu)) return tuned;
    for (int32_t i = 0; i < m->n_tuned; i++)
        ftc_tuned_add(&tuned, m->tuned[i].contraction, m->tuned[i].plan, m->tuned[i].gain);
    return tuned;
}

const ftc_program *ftc_program_of(const ftc_loaded_program *loaded) {
    return &loaded->manifest->program;
}

void ftc_program_unload(ftc_loaded_program *loaded) {
    ftc_object_unload(loaded->code);
    ftc_manifest_free(loaded->manifest);
    free(loaded->source);
    free(loaded);
}
