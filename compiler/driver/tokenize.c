// ftc tokenize: the token ids of texts.
#include "compiler/driver/commands.h"
#include "compiler/driver/model.h"
#include "compiler/driver/texts.h"

#include <stdio.h>

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
        printf("%s%s", i ? " " : "", text ? text : "?");
    }
    putchar('\n');
}

int ftc_command_tokenize(const ftc_command *self, int argc, char **argv) {
    ftc_text_options options = ftc_text_options_default();
    ftc_option_group groups[] = {{"Options", ftc_text_option_table, &options},
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
    ftc_tokenizer *tokenizer = NULL;
    ftc_texts texts = {0};
    ftc_tokens tokens = {0};
    ftc_status status = ftc_tokenizer_open(words.items[0], &tokenizer);
    if (status.code == FTC_OK) status = ftc_texts_open(&options, &words, &texts);
    int allowed = tokenizer ? ftc_tokenizer_model_max_length(tokenizer) : 0;
    int64_t length = options.max_length ? options.max_length : allowed ? allowed : INT32_MAX;
    const char *text, *pair;
    while (status.code == FTC_OK && ftc_texts_next(&texts, &text, &pair, &status)) {
        status = ftc_tokenizer_encode(tokenizer, text, pair, (int)length, &tokens);
        if (status.code == FTC_OK) print_tokens(tokenizer, &tokens, options.json);
    }
    ftc_tokens_free(&tokens);
    ftc_texts_close(&texts);
    ftc_tokenizer_close(tokenizer);
    ftc_text_list_free(&words);
    return ftc_status_report(self->name, status);
}
