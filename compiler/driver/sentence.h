// What a model that labels tokens says of a sentence: a class for each word, and the spans that they say.
#ifndef FTC_DRIVER_SENTENCE_H
#define FTC_DRIVER_SENTENCE_H

#include "compiler/driver/classifier.h"
#include "runtime/data/words.h"

typedef struct {
    ftc_fields words;
    int32_t *word_of; // [tokens] of each token; -1: of none
} ftc_sentence;

// Cuts a text into words and those into tokens. A list of JSON has its words; of other text they stand
// between white space, and punctuation at their ends is a word of its own.
ftc_status ftc_sentence_read(const ftc_classifier *classifier, const char *text, int max_length,
                             ftc_tokens *tokens, ftc_sentence *out);
void ftc_sentence_free(ftc_sentence *sentence);

// Prints the answer, of the logits [n_tokens, columns] of its tokens: of a word those of its first one.
typedef enum { FTC_ANSWER_TEXT, FTC_ANSWER_JSON, FTC_ANSWER_CSV } ftc_answer_form;
void ftc_sentence_print(const ftc_classifier *classifier, const ftc_sentence *sentence, size_t n_tokens,
                        const float *logits, ftc_answer_form form, size_t row, const char *cells);

// The headings of these answers as CSV.
void ftc_sentence_print_headings(const ftc_table *table);

#endif
