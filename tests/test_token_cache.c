// Token ids that are kept between runs: found again for the same content only.
#include "runtime/text/token_cache.h"
#include "tests/scratch.h"

#include <dirent.h>

static const char VOCABULARY[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\nfood\n##s\n";

static char *directory;
static ftc_threads *threads;

static void begin(void) {
    directory = test_directory();
    ASSERT_OK(ftc_threads_create(2, &threads));
    free(test_write(directory, "vocab.txt", VOCABULARY, sizeof VOCABULARY - 1));
}

static void end(void) {
    ftc_threads_free(threads);
    scratch_free(directory);
}

TestSuite(token_cache, .init = begin, .fini = end);

// What one reading gives.
typedef struct {
    ftc_dataset examples;
    bool hit;
} reading;

// The text alone, with its pair behind it, or both apart.
typedef enum { ALONE, JOINED, APART } form;

// Reads all rows of a CSV file of this text through the cache `cache` (in the test's directory).
static reading read_text(const char *text, form form, int max_length, const char *cache) {
    char *path = test_write(directory, "rows.csv", text, strlen(text));
    char *dir = ftc_path_join(directory, cache);
    const ftc_table_options options = {.pair_column = form ? "second" : NULL};
    int64_t rows[64];
    ftc_table *table;
    ftc_labels labels;
    ftc_tokenizer *tokenizer;
    ASSERT_OK(ftc_table_open(path, &options, &table));
    ASSERT_OK(ftc_labels_learn(table, 2, NULL, true, &labels));
    ASSERT_OK(ftc_tokenizer_open(directory, &tokenizer));
    ftc_dataset_source source = {.table = table,
                                 .rows = rows,
                                 .n = ftc_table_rows(table),
                                 .tokenizer = tokenizer,
                                 .max_length = max_length,
                                 .labels = &labels,
                                 .apart = form == APART};
    for (size_t i = 0; i < source.n; i++) rows[i] = (int64_t)i;
    ftc_dataset plain;
    reading got = {0};
    ASSERT_OK(ftc_dataset_read(&source, threads, &plain));
    ASSERT_OK(ftc_token_cache_read(&source, dir, threads, &got.examples, &got.hit));
    size_t tokens = (size_t)ftc_dataset_tokens(&plain), n = (size_t)plain.n;
    cr_assert_eq(got.examples.n, plain.n);
    cr_assert_arr_eq(got.examples.offsets, plain.offsets, (n + 1) * sizeof *plain.offsets);
    cr_assert_arr_eq(got.examples.ids, plain.ids, tokens * sizeof *plain.ids);
    cr_assert_arr_eq(got.examples.types, plain.types, tokens * sizeof *plain.types);
    cr_assert_arr_eq(got.examples.labels, plain.labels, n * sizeof *plain.labels);
    cr_assert_eq(plain.firsts != NULL, form == APART);
    cr_assert_eq(got.examples.firsts != NULL, form == APART);
    if (form == APART) cr_assert_arr_eq(got.examples.firsts, plain.firsts, n * sizeof *plain.firsts);
    ftc_dataset_free(&plain);
    ftc_labels_free(&labels);
    ftc_tokenizer_close(tokenizer);
    ftc_table_close(table);
    free(path);
    free(dir);
    return got;
}

// Whether such a reading is answered from the cache; that its examples are right is asserted.
static bool hits(const char *text, form form, int max_length, const char *cache) {
    reading got = read_text(text, form, max_length, cache);
    ftc_dataset_free(&got.examples);
    return got.hit;
}

static const char ROWS[] = "label,text,second\n0,good foods,bad\n1,bad food,good good\n";

Test(token_cache, the_same_content_is_found_again) {
    cr_expect_not(hits(ROWS, ALONE, 8, "cache"));
    cr_expect(hits(ROWS, ALONE, 8, "cache"));
    // Labels are read anew.
    cr_expect(hits("second,text,label\nx,good foods,yes\ny,bad food,no\n", ALONE, 8, "cache"));
    cr_expect(hits(ROWS, ALONE, 8, "cache"));
}

Test(token_cache, other_content_is_not) {
    cr_expect_not(hits(ROWS, ALONE, 8, "cache"));
    cr_expect_not(hits("label,text\n0,good foods\n1,bad foods\n", ALONE, 8, "cache"));
    cr_expect_not(hits("label,text\n0,bad food\n1,good foods\n", ALONE, 8, "cache")); // another order
    cr_expect_not(hits(ROWS, ALONE, 3, "cache"));
    cr_expect_not(hits(ROWS, JOINED, 8, "cache"));
    cr_expect_not(hits("label,text,second\n0,good foods,good good\n1,bad food,bad\n", JOINED, 8, "cache"));
    cr_expect(hits(ROWS, JOINED, 8, "cache"));
    cr_expect_not(hits(ROWS, APART, 8, "cache"));
    cr_expect(hits(ROWS, APART, 8, "cache"));
    free(test_write(directory, "tokenizer_config.json", "{}", 2));
    cr_expect_not(hits(ROWS, JOINED, 8, "cache")); // another tokenizer, for all that is known
}

// Changes one byte of every file of the cache, or cuts it off.
static void damage(bool cut) {
    char *dir = ftc_path_join(directory, "cache"), *text;
    DIR *listing = opendir(dir);
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (entry->d_name[0] == '.') continue;
        char *path = ftc_path_join(dir, entry->d_name);
        size_t bytes;
        ASSERT_OK(ftc_file_read(path, &text, &bytes));
        text[bytes - 5] ^= 1;
        ASSERT_OK(ftc_file_write(path, text, cut ? bytes / 3 : bytes));
        free(text);
        free(path);
    }
    closedir(listing);
    free(dir);
}

Test(token_cache, a_damaged_file_is_made_anew) {
    cr_expect_not(hits(ROWS, ALONE, 8, "cache"));
    for (int cut = 0; cut < 2; cut++) {
        damage(cut);
        cr_expect_not(hits(ROWS, ALONE, 8, "cache"));
        cr_expect(hits(ROWS, ALONE, 8, "cache"));
    }
}

Test(token_cache, a_place_that_cannot_be_written_is_none) {
    free(test_write(directory, "file", "x", 1));
    cr_expect_not(hits(ROWS, ALONE, 8, "file/cache"));
    cr_expect_not(hits(ROWS, ALONE, 8, "file/cache"));
}

Test(token_cache, wrong_rows_are_named_as_without_it) {
    char *path = test_write(directory, "rows.csv", "label,text\n0,good\n,bad\n", 23),
         *dir = ftc_path_join(directory, "cache");
    ftc_table *table;
    ftc_tokenizer *tokenizer;
    ASSERT_OK(ftc_table_open(path, &(ftc_table_options){0}, &table));
    ASSERT_OK(ftc_tokenizer_open(directory, &tokenizer));
    ftc_dataset_source source = {
        .table = table, .rows = (int64_t[]){0, 1}, .n = 2, .tokenizer = tokenizer, .max_length = 8};
    ftc_dataset examples;
    bool hit;
    ASSERT_FAILS(ftc_token_cache_read(&source, dir, threads, &examples, &hit), FTC_BAD_INPUT, "rows.csv:3: ");
    ftc_tokenizer_close(tokenizer);
    ftc_table_close(table);
    free(path);
    free(dir);
}

Test(token_cache, what_was_not_used_for_longest_goes) {
    char text[64];
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "label,text\n0,good%d\n1,bad\n", i);
        cr_expect_not(hits(text, ALONE, 8, "cache"));
        cr_expect(hits("label,text\n0,good0\n1,bad\n", ALONE, 8, "cache")); // keeps it in use
        usleep(2000);                                                       // times of files are coarse
    }
    cr_expect(hits("label,text\n0,good39\n1,bad\n", ALONE, 8, "cache"));
    cr_expect_not(hits("label,text\n0,good1\n1,bad\n", ALONE, 8, "cache"));
}
