// What a model for pairs of texts says: how near two texts are, and the vectors of texts.
#ifndef FTC_DRIVER_PAIRS_H
#define FTC_DRIVER_PAIRS_H

#include "compiler/driver/classifier.h"
#include "compiler/driver/sentence.h"
#include "compiler/driver/texts.h"

// Prints the cosine of each pair: of the texts in two columns of a file, or of the first text of the command
// with each of the others.
ftc_status ftc_pairs_print_scores(ftc_classifier *classifier, const ftc_text_options *options,
                                  const ftc_text_list *words, ftc_answer_form form);

// Prints the vector of each text, as a JSON object a line.
ftc_status ftc_pairs_print_embeddings(ftc_classifier *classifier, const ftc_text_options *options,
                                      const ftc_text_list *words);

#endif
