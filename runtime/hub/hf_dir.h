// A model directory in Hugging Face's layout: config.json, model.safetensors and the tokenizer's files.
#ifndef FTC_RUNTIME_HF_DIR_H
#define FTC_RUNTIME_HF_DIR_H

#include "ir/step_abi.h"
#include "runtime/status.h"

#include <stdbool.h>

typedef struct ftc_hf_config ftc_hf_config;

// Reads DIR/config.json; of an adapter without one, that of its base model. Refuses a decoder; whether its
// model_type is the model's, the family block says.
ftc_status ftc_hf_config_read(const char *dir, ftc_hf_config **out);
void ftc_hf_config_free(ftc_hf_config *config);

// The entry `name`; false when it is missing, null or of another type. The text belongs to the config.
bool ftc_hf_config_number(const ftc_hf_config *config, const char *name, double *out);
bool ftc_hf_config_text(const ftc_hf_config *config, const char *name, const char **out);

// Whether `architectures` names this class.
bool ftc_hf_config_has_class(const ftc_hf_config *config, const char *name);

// Goes through the entries of config.json: *at is NULL before the first. *value (allocated) is the entry's
// text, NULL when it is null, a list or an object. False behind the last one.
struct cJSON;
bool ftc_hf_config_next(const ftc_hf_config *config, const struct cJSON **at, const char **name,
                        char **value);

// Tells every entry, those of objects by names with dots ("rope_parameters.full_attention.rope_theta"), lists
// as their elements with | between them. Those that are null, and lists of lists or objects, have no value:
// NULL.
void ftc_hf_config_each(const ftc_hf_config *config,
                        void (*tell)(void *context, const char *name, const char *value), void *context);

#define FTC_HF_LABELS "num_labels" // the entry of config.json that is not written: id2label says it

// The number of labels that config.json states (id2label, else num_labels), 0 when it states none.
int32_t ftc_hf_config_label_count(const ftc_hf_config *config);

// The same for the directory: where config.json states none, as transformers writes it for its default of
// two, the rows of the classifier among the weights, as they do for an adapter without a config.json of its
// own; 0 when there is none either.
int32_t ftc_hf_label_count(const char *dir, const ftc_hf_config *config);

// Whether ftc has trained the model on pairs of texts, each pair as one sequence.
bool ftc_hf_config_is_of_pairs(const ftc_hf_config *config);

// The name of label `id` in id2label; NULL when there is none.
const char *ftc_hf_config_label(const ftc_hf_config *config, int32_t id);

// What a saved config.json says beside the program's own settings.
typedef struct {
    // Directory whose config.json is carried over where the program says nothing; or NULL.
    const char *base_dir;
    const char *const *labels; // [n_labels] names by id; NULL or a NULL element: LABEL_<id>
    int32_t n_labels;
    const char *problem_type; // NULL: the labels are not those of whole texts
    bool of_pairs;            // ftc_hf_config_is_of_pairs
} ftc_hf_config_extra;

// Makes config.json of a classifier: every setting of the program that has a Hugging Face name, what its
// family block says, id2label, label2id, problem_type and whether it is of pairs. "NAME[]" is a list, and not
// written where it is empty; an entry of an object (a name with dots) is written where base_dir has the
// object.
ftc_status ftc_hf_config_make(const ftc_program *program, const ftc_hf_config_extra *extra,
                              struct cJSON **out);
ftc_status ftc_hf_config_write(const ftc_program *program, const ftc_hf_config_extra *extra,
                               const char *path);

// Writes into tokenizer_config.json of `dir` that texts have at most so many tokens.
ftc_status ftc_hf_tokenizer_limit(const char *dir, int64_t max_length);

// Whether the directory has a vocabulary, of whatever form.
bool ftc_hf_has_tokenizer(const char *dir);

// Writes into the tokenizer's files in `dir`, if it is BPE over bytes, that a blank stands before each text,
// and so before each word: what ftc_tokenizer_encode_words takes words for, and transformers demands of
// RoBERTa for words (add_prefix_space).
ftc_status ftc_hf_tokenizer_for_words(const char *dir);

// Where the tokenizer of a directory lies: there, or, where an adapter has none, in that of its base model.
// Allocated.
ftc_status ftc_hf_tokenizer_dir(const char *dir, char **out);

// Copies the tokenizer's files (vocab.txt, tokenizer.json, tokenizer_config.json, …) that `from` has, so that
// all who read them in `to` get the same tokens, which are those of ftc_tokenizer_open_as(from, by_class):
// tokenizer.json becomes what transformers 5 makes of it, or tokenizer_config.json names a class that follows
// it. `to` has its config.json already.
ftc_status ftc_hf_tokenizer_copy(const char *from, bool by_class, const char *to);

#endif
