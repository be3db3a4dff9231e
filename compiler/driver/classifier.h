// A trained classifier out of a Hugging Face directory, ready to be evaluated. For eval and predict. The
// processes that a launcher has started share the batches; all of them get the scores.
#ifndef FTC_DRIVER_CLASSIFIER_H
#define FTC_DRIVER_CLASSIFIER_H

#include "compiler/driver/data.h"
#include "compiler/driver/model.h"
#include "runtime/data/batch.h"
#include "runtime/loop/evaluate.h"
#include "runtime/hub/hf_dir.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/stepper.h"
#include "runtime/loop/threads.h"
#include "runtime/loop/world.h"
#include "runtime/text/tokenizer.h"

typedef struct {
    const ftc_world *world;
    ftc_model model;
    ftc_threads *threads;
    ftc_tokenizer *tokenizer;
    int32_t max_length; // tokens of a text
    ftc_hf_config *config;
    ftc_model_state state;
    ftc_stepper stepper;
    ftc_batch batch;
} ftc_classifier;

// Compiles the model of `dir` for evaluation and loads weights and tokenizer, the latter as `data` says
// (ftc_data_tokenizer). `threads` 0: one a processor.
// Prints what is wrong and returns the exit status, FTC_EXIT_OK when nothing is. From then on, what other
// processes than the first print on standard output goes nowhere.
int ftc_classifier_open(const ftc_command *self, const char *dir, const ftc_model_options *options,
                        const ftc_data_options *data, int64_t threads, ftc_classifier *out);

// Ends the work with this exit status, which it returns: all processes together, or at once where one failed.
int ftc_classifier_close(ftc_classifier *classifier, int code);

// Tells on standard error where the model has learned from pairs of texts, and those at hand are none.
void ftc_classifier_tell_pairs(const ftc_classifier *classifier, bool has_pairs);

// Evaluates, up to the program's bound of examples at a time.
ftc_status ftc_classifier_evaluate(ftc_classifier *classifier, const ftc_dataset *dataset,
                                   ftc_evaluation *out);

#endif
