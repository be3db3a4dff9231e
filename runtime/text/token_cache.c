#include "runtime/text/token_cache.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

// To be raised whenever the same texts and tokenizer files may give other ids than before, or a file other
// bytes.
enum { VERSION = 1 };

enum { MOST_FILES = 32 };
static const char SUFFIX[] = ".tokens";

// What a file begins with; offsets, ids and types of the dataset follow, and of pairs whose texts stand apart
// the first texts' tokens.
typedef struct {
    char magic[8];
    uint64_t key[2];
    int64_t examples, tokens;
    uint64_t checksum; // of what follows
} header;

static const char MAGIC[8] = "ftctoken";

// --- the key ------------------------------------------------------------------------------------------

// One look at every row, on all threads.
typedef struct {
    const ftc_dataset_source *source;
    XXH128_hash_t *texts; // [n]
    float *labels;        // [n]
    ftc_status *statuses; // [threads]
} look;

static ftc_status look_at_row(look *l, size_t i, ftc_row *row) {
    const ftc_dataset_source *source = l->source;
    size_t at = (size_t)source->rows[i];
    FTC_RETURN_IF_ERROR(ftc_table_read(source->table, at, row));
    l->texts[i] = XXH3_128bits(row->text, strlen(row->text));
    if (row->pair)
        l->texts[i].low64 ^= XXH3_64bits_withSeed(row->pair, strlen(row->pair), l->texts[i].high64);
    if (!source->labels) return FTC_STATUS_OK;
    return ftc_labels_find(source->labels, source->table, at, row->label, &l->labels[i]);
}

static void look_at_share(void *context, int32_t thread, int32_t threads) {
    look *l = context;
    ftc_row row = {0};
    size_t n = l->source->n, end = n * (size_t)(thread + 1) / (size_t)threads;
    for (size_t i = n * (size_t)thread / (size_t)threads; i < end && l->statuses[thread].code == FTC_OK; i++)
        l->statuses[thread] = look_at_row(l, i, &row);
    ftc_row_free(&row);
}

// Reads all labels and makes the key. Fails at the first row that cannot be read.
static ftc_status look_at_rows(look *l, ftc_threads *threads, uint64_t key[2]) {
    int32_t n = ftc_threads_count(threads);
    l->statuses = ftc_alloc((size_t)n, sizeof *l->statuses);
    ftc_threads_run(threads, look_at_share, l);
    ftc_status status = FTC_STATUS_OK;
    for (int32_t i = 0; i < n; i++) {
        if (status.code == FTC_OK) {
            status = l->statuses[i];
        } else {
            ftc_status_free(&l->statuses[i]);
        }
    }
    free(l->statuses);
    const uint64_t others[] = {VERSION, ftc_tokenizer_fingerprint(l->source->tokenizer),
                               (uint64_t)l->source->max_length, l->source->apart};
    XXH128_hash_t hash =
        XXH3_128bits_withSeed(l->texts, l->source->n * sizeof *l->texts, XXH3_64bits(others, sizeof others));
    key[0] = hash.low64;
    key[1] = hash.high64;
    return status;
}

// --- the files ----------------------------------------------------------------------------------------

static size_t offsets_bytes(const header *h) {
    return ((size_t)h->examples + 1) * sizeof(int64_t);
}

static size_t ids_bytes(const header *h) {
    return (size_t)h->tokens * sizeof(int32_t);
}

static size_t firsts_bytes(const header *h, bool apart) {
    return apart ? (size_t)h->examples * sizeof(int32_t) : 0;
}

static void *copy(const char *from, size_t bytes) {
    void *to = ftc_alloc(bytes, 1);
    return memcpy(to, from, bytes);
}

// Reads all but the labels; false when there is no such file, or another one of its name.
static bool load(const char *path, const uint64_t key[2], bool apart, ftc_dataset *d) {
    char *text;
    size_t bytes;
    ftc_status status = ftc_file_read(path, &text, &bytes);
    if (status.code != FTC_OK) {
        ftc_status_free(&status);
        return false;
    }
    header h = {0};
    if (bytes >= sizeof h) memcpy(&h, text, sizeof h);
    bool fits = memcmp(h.magic, MAGIC, sizeof MAGIC) == 0 && memcmp(h.key, key, sizeof h.key) == 0 &&
                h.examples >= 0 && h.tokens >= 0 && (size_t)h.examples < bytes && (size_t)h.tokens < bytes &&
                bytes == sizeof h + offsets_bytes(&h) + 2 * ids_bytes(&h) + firsts_bytes(&h, apart) &&
                XXH3_64bits(text + sizeof h, bytes - sizeof h) == h.checksum;
    if (fits) {
        const char *at = text + sizeof h;
        *d = (ftc_dataset){.n = h.examples,
                           .offsets = copy(at, offsets_bytes(&h)),
                           .ids = copy(at + offsets_bytes(&h), ids_bytes(&h)),
                           .types = copy(at + offsets_bytes(&h) + ids_bytes(&h), ids_bytes(&h)),
                           .offsets_capacity = (size_t)h.examples + 1,
                           .ids_capacity = (size_t)h.tokens,
                           .types_capacity = (size_t)h.tokens};
        if (apart) d->firsts = copy(at + offsets_bytes(&h) + 2 * ids_bytes(&h), firsts_bytes(&h, apart));
        d->firsts_capacity = apart ? (size_t)h.examples : 0;
        utimensat(AT_FDCWD, path, NULL, 0); // it was used
    }
    free(text);
    return fits;
}

static void save(const char *path, const uint64_t key[2], const ftc_dataset *d) {
    header h = {.key = {key[0], key[1]}, .examples = d->n, .tokens = ftc_dataset_tokens(d)};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    const ftc_file_part parts[] = {{&h, sizeof h, NULL},
                                   {d->offsets, offsets_bytes(&h), NULL},
                                   {d->ids, ids_bytes(&h), NULL},
                                   {d->types, ids_bytes(&h), NULL},
                                   {d->firsts, firsts_bytes(&h, d->firsts != NULL), NULL}};
    XXH3_state_t *state = XXH3_createState();
    if (!state) ftc_out_of_memory(0);
    XXH3_64bits_reset(state);
    for (size_t i = 1; i < sizeof parts / sizeof *parts; i++)
        XXH3_64bits_update(state, parts[i].data, parts[i].bytes);
    h.checksum = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    char *temporary = ftc_format("%s.%ld", path, (long)getpid());
    ftc_status status = ftc_file_write_parts(temporary, parts, sizeof parts / sizeof *parts);
    if (status.code != FTC_OK || rename(temporary, path) != 0) unlink(temporary);
    ftc_status_free(&status);
    free(temporary);
}

typedef struct {
    char *path;
    struct timespec time;
} cached_file;

static int newest_first(const void *a, const void *b) {
    const struct timespec *x = &((const cached_file *)a)->time, *y = &((const cached_file *)b)->time;
    if (x->tv_sec != y->tv_sec) return x->tv_sec > y->tv_sec ? -1 : 1;
    return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

// Removes the files that were not used for longest.
static void prune(const char *dir) {
    DIR *listing = opendir(dir);
    cached_file *files = NULL;
    size_t n = 0;
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        size_t length = strlen(entry->d_name), suffix = sizeof SUFFIX - 1;
        if (length < suffix || strcmp(entry->d_name + length - suffix, SUFFIX) != 0) continue;
        struct stat info;
        char *path = ftc_path_join(dir, entry->d_name);
        files = ftc_realloc(files, n + 1, sizeof *files);
        files[n++] = (cached_file){path, stat(path, &info) == 0 ? info.st_mtim : (struct timespec){0}};
    }
    if (listing) closedir(listing);
    if (n) qsort(files, n, sizeof *files, newest_first);
    for (size_t i = 0; i < n; i++) {
        if (i >= MOST_FILES) unlink(files[i].path);
        free(files[i].path);
    }
    free(files);
}

// --- both ---------------------------------------------------------------------------------------------

static ftc_status read_rows(const ftc_dataset_source *source, const char *dir, ftc_threads *threads, look *l,
                            ftc_dataset *out, bool *hit) {
    uint64_t key[2];
    FTC_RETURN_IF_ERROR(look_at_rows(l, threads, key));
    char *path = ftc_format("%s/%016llx%016llx%s", dir, (unsigned long long)key[1],
                            (unsigned long long)key[0], SUFFIX);
    ftc_status status = FTC_STATUS_OK;
    *hit = load(path, key, l->source->apart, out);
    if (*hit) {
        out->labels = copy((const char *)l->labels, source->n * sizeof *l->labels);
        out->labels_capacity = source->n;
    } else {
        status = ftc_dataset_read(source, threads, out);
        if (status.code == FTC_OK) {
            ftc_status made = ftc_dir_make(dir);
            if (made.code == FTC_OK) save(path, key, out);
            ftc_status_free(&made);
            prune(dir);
        }
    }
    free(path);
    return status;
}

ftc_status ftc_token_cache_read(const ftc_dataset_source *source, const char *dir, ftc_threads *threads,
                                ftc_dataset *out, bool *hit) {
    *hit = false;
    if (!dir || source->n == 0) return ftc_dataset_read(source, threads, out);
    look l = {source, ftc_alloc(source->n + 1, sizeof *l.texts), ftc_alloc(source->n + 1, sizeof *l.labels),
              NULL};
    ftc_status status = read_rows(source, dir, threads, &l, out, hit);
    free(l.texts);
    free(l.labels);
    return status;
}
