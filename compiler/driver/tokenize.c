// ftc tokenize: the token ids of texts.
#include "compiler/driver/commands.h"
#include "compiler/driver/model.h"
#include "compiler/driver/texts.h"
#include "ir/base/clock.h"
#include "runtime/text/shown.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

// Rows of a file are read, tokenized and printed so many at a time, so that memory does not grow with the
// file.
enum { GROUP = 16384 };

typedef struct {
    int64_t threads; // 0: one a processor
} tokenize_options;

static const ftc_option OPTIONS[] = {
    {"threads", NULL, FTC_OPTION_INT, offsetof(tokenize_options, threads), "N", 1,
     "threads for --file; one a processor unless set"},
    {0},
};

static void print_tokens(const ftc_tokenizer *tokenizer, const ftc_tokens *tokens, bool json) {
    if (json) {
        fputs("{\"input_ids\": [", stdout);
        for (size_t i = 0; i < tokens->count; i++) printf("%s%d", i ? ", " : "", tokens->ids[i]);
        fputs("], \"token_type_ids\": [", stdout);
        for (size_t i = 0; i < tokens->count; i++) printf("%s%d", i ? ", " : "", tokens->types[i]);
        puts("]}");
        return;
    }
    for (size_t i = 0; i < tokens->count; i++) {
        const char *text = ftc_tokenizer_token(tokenizer, tokens->ids[i]);
        if (i) putchar(' ');
        if (!text) text = "?";
        ftc_shown_write(stdout, text, strlen(text), true);
    }
    putchar('\n');
}

static ftc_status tokenize_words(const ftc_tokenizer *tokenizer, ftc_texts *texts, int max_length,
                                 bool json) {
    const char *text, *pair;
    ftc_tokens tokens = {0};
    ftc_status status = FTC_STATUS_OK;
    while (status.code == FTC_OK && ftc_texts_next(texts, &text, &pair, &status)) {
        status = ftc_tokenizer_encode(tokenizer, text, pair, max_length, &tokens);
        if (status.code == FTC_OK) print_tokens(tokenizer, &tokens, json);
    }
    ftc_tokens_free(&tokens);
    return status;
}

static void print_examples(const ftc_tokenizer *tokenizer, const ftc_dataset *d, bool json) {
    for (int64_t i = 0; i < d->n; i++) {
        int64_t at = d->offsets[i];
        ftc_tokens tokens = {
            .ids = d->ids + at, .types = d->types + at, .count = (size_t)ftc_dataset_length(d, i)};
        print_tokens(tokenizer, &tokens, json);
    }
}

// Tokenizes a file on all threads, then tells how fast that was, reading included and printing not.
static ftc_status tokenize_table(const ftc_tokenizer *tokenizer, const ftc_table *table, int max_length,
                                 bool json, ftc_threads *threads) {
    static int64_t rows[GROUP];
    size_t n = ftc_table_rows(table);
    int64_t tokens = 0;
    double seconds = 0;
    for (size_t first = 0; first < n; first += GROUP) {
        ftc_dataset_source source = {.table = table,
                                     .rows = rows,
                                     .n = n - first < GROUP ? n - first : GROUP,
                                     .tokenizer = tokenizer,
                                     .max_length = max_length};
        ftc_dataset dataset;
        for (size_t i = 0; i < source.n; i++) rows[i] = (int64_t)(first + i);
        double start = ftc_clock_seconds();
        FTC_RETURN_IF_ERROR(ftc_dataset_read(&source, threads, &dataset));
        seconds += ftc_clock_seconds() - start;
        tokens += ftc_dataset_tokens(&dataset);
        print_examples(tokenizer, &dataset, json);
        ftc_dataset_free(&dataset);
    }
    fprintf(stderr, "%zu texts, %lld tokens in %.4f s: %.2f M tokens/s on %d threads\n", n, (long long)tokens,
            seconds, (double)tokens / seconds / 1e6, ftc_threads_count(threads));
    return FTC_STATUS_OK;
}

static ftc_status tokenize(const ftc_text_options *options, const ftc_text_list *words, int32_t n_threads) {
    ftc_tokenizer *tokenizer = NULL;
    ftc_texts texts = {0};
    ftc_threads *threads = NULL;
    ftc_status status =
        ftc_tokenizer_open_as(words->items[0], options->columns.tokenizer_by_class, &tokenizer);
    if (status.code == FTC_OK) status = ftc_texts_open(options, false, words, &texts);
    if (status.code == FTC_OK) {
        int allowed = ftc_tokenizer_model_max_length(tokenizer);
        int64_t asked = options->columns.max_length;
        int length = asked ? (int)asked : allowed ? allowed : INT32_MAX;
        if (texts.table) {
            status = ftc_threads_create(n_threads, &threads);
            if (status.code == FTC_OK)
                status = tokenize_table(tokenizer, texts.table, length, options->json, threads);
            ftc_threads_free(threads);
        } else {
            status = tokenize_words(tokenizer, &texts, length, options->json);
        }
    }
    ftc_texts_close(&texts);
    ftc_tokenizer_close(tokenizer);
    return status;
}

int ftc_command_tokenize(const ftc_command *self, int argc, char **argv) {
    ftc_text_options options = ftc_text_options_default();
    tokenize_options mine = {0};
    ftc_option_group groups[] = {{"Options", ftc_text_option_table, &options},
                                 {"Speed", OPTIONS, &mine},
                                 {"Columns", ftc_column_option_table, &options.columns},
                                 {0}};
    ftc_text_list words = {0};
    ftc_cli_result parsed = ftc_cli_parse(self, groups, argc, argv, &words);
    if (parsed != FTC_CLI_OK) {
        ftc_text_list_free(&words);
        return ftc_cli_exit(parsed);
    }
    if (words.n == 0) {
        ftc_text_list_free(&words);
        return ftc_cli_error(self->name,
                             "which tokenizer? give a directory with vocab.txt or tokenizer.json first");
    }
    int32_t threads = mine.threads ? (int32_t)mine.threads : ftc_threads_available();
    ftc_status status = tokenize(&options, &words, threads);
    ftc_text_list_free(&words);
    return ftc_status_report(self->name, status);
}
