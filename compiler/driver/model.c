#include "compiler/driver/model.h"

#include "compiler/driver/kernels.h"
#include "compiler/driver/laboratory.h"
#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/lang/elaborate.h"
#include "ir/lang/parse.h"
#include "runtime/files.h"
#include "runtime/hub/adapter.h"
#include "runtime/hub/pooling.h"
#include "runtime/loop/threads.h"

#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

// The families in models/, embedded at build time in the same form as the library.
extern const ftc_library_file ftc_builtin_models[];

#define FIELD(name) offsetof(ftc_model_options, name)
const ftc_option ftc_model_option_table[] = {
    {"set", NULL, FTC_OPTION_LIST, FIELD(set), "NAME=VALUE", 0,
     "change an entry of the model's config block"},
    {"batch", NULL, FTC_OPTION_INT, FIELD(batch), "N", 1, "most sequences in a batch"},
    {"max-length", NULL, FTC_OPTION_INT, FIELD(max_length), "N", 1, "most tokens in a sequence"},
    {"no-pass", NULL, FTC_OPTION_LIST, FIELD(no_pass), "PASS", 0,
     "leave out a pass of the compiler, or a rule, as simplify:demand"},
    {"graph", NULL, FTC_OPTION_LIST, FIELD(graphs), "ENTRY=FILE", 0,
     "compile this entry (step, grad, update, eval) from a dump of it"},
    {"kernel-schedule", NULL, FTC_OPTION_TEXT, FIELD(schedule), "FILE", 0,
     "edits of the schedule, a line each, as \"tile attention: block 64\" (docs/laboratory.md)"},
    {"kernel", NULL, FTC_OPTION_LIST, FIELD(kernels), "FILE", 0,
     "kernels that the model names by `extern`: C (.c, compiled by $CC), LLVM's text (.ll) or an object "
     "(.o)"},
    {"precision", NULL, FTC_OPTION_CHOICE, FIELD(precision), "fp32|bf16", 0,
     "numbers that are stored between kernels and multiplied; fp32 unless set"},
    {"gemm", NULL, FTC_OPTION_CHOICE, FIELD(gemm), "native|openblas", 0,
     "who multiplies matrices; native unless set"},
    {"target", NULL, FTC_OPTION_TEXT, FIELD(target), "CPU", 0,
     "compile for avx512, avx2, generic (any x86-64), aarch64 or sve256 instead of this machine (native)"},
    {"tune", NULL, FTC_OPTION_FLAG, FIELD(tune), NULL, 0,
     "measure here how each contraction is best cut, and compile it so"},
    {"guard", NULL, FTC_OPTION_FLAG, FIELD(guard), NULL, 0,
     "for tests of the compiler: each buffer lies before a page that nobody may touch; slow"},
    {"task", NULL, FTC_OPTION_TEXT, FIELD(task), "NAME", 0,
     "what is learned: classification, multi_label (several labels a text), tokens (a label a token), mlm "
     "(masked tokens) or pairs (two texts that belong together); unless set what --pretrained and the data "
     "say"},
    {"loss", NULL, FTC_OPTION_TEXT, FIELD(loss), "NAME", 0,
     "auto, cross_entropy, focal, bce (several labels a text) or mse; auto: by task, mse for one label; as "
     "--set loss=NAME"},
    {0},
};

const ftc_option ftc_weights_option_table[] = {
    {"pretrained", NULL, FTC_OPTION_TEXT, FIELD(pretrained), "DIR", 0,
     "shapes, weights and tokenizer of this directory"},
    {"memory", NULL, FTC_OPTION_TEXT, FIELD(memory), "BYTES", 0,
     "most memory for tensors, arena and scratch of threads, as 2GB; \"least\": as little as can be"},
    {"optim", NULL, FTC_OPTION_TEXT, FIELD(optim), "NAME", 0,
     "adamw, adam, adam_keras, sgd, lion, adafactor, or an optimizer of the model's own"},
    {"freeze", NULL, FTC_OPTION_LIST, FIELD(freeze), "PATTERN", 0,
     "do not train parameters with such names, as \"bert.embeddings.*\""},
    {"group", NULL, FTC_OPTION_LIST, FIELD(group), "PATTERN:VALUES", 0,
     "their own rate or decay, as \"bert.*:lr=0.1x,weight_decay=0\""},
    {"layer-decay", NULL, FTC_OPTION_NUMBER, FIELD(layer_decay), "X", 0,
     "multiply the learning rate by X from each layer to the one before"},
    {"lora", NULL, FTC_OPTION_TEXT, FIELD(lora), "MODULES", 0,
     "train adapters of these alone, as \"query,value\" (PEFT's target_modules), and the head"},
    {"lora-rank", NULL, FTC_OPTION_INT, FIELD(lora_rank), "R", 1, "rank of the adapters (8)"},
    {"lora-alpha", NULL, FTC_OPTION_NUMBER, FIELD(lora_alpha), "ALPHA", 0,
     "what adapters give is multiplied by ALPHA / R (8)"},
    {"lora-dropout", NULL, FTC_OPTION_PROBABILITY, FIELD(lora_dropout), "P", 0,
     "dropout before the adapters (0)"},
    {0},
};
#undef FIELD

ftc_model_options ftc_model_options_default(void) {
    return (ftc_model_options){.gemm = FTC_GEMM_UNSET, .precision = FTC_PRECISION_UNSET, .lora_dropout = -1};
}

#define LIST(name) offsetof(ftc_model_options, name)
static const size_t LISTS[] = {LIST(set),     LIST(no_pass), LIST(graphs),
                               LIST(kernels), LIST(freeze),  LIST(group)};
#undef LIST

static ftc_text_list *list_at(ftc_model_options *options, size_t i) {
    return (ftc_text_list *)((char *)options + LISTS[i]);
}

void ftc_model_options_again(ftc_model_options *options) {
    ftc_model_options fresh = ftc_model_options_default();
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) *list_at(&fresh, i) = *list_at(options, i);
    *options = fresh;
}

void ftc_model_options_free(ftc_model_options *options) {
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) ftc_text_list_free(list_at(options, i));
}

// --- messages -----------------------------------------------------------------------------------------

// Adds a failed status to the diagnostics and frees it; false when there was one.
static bool add_status(ftc_diagnostics *d, ftc_status status) {
    if (status.code == FTC_OK) return true;
    ftc_diag_add(d, NULL, NULL, 0, 0, "%s", status.message ? status.message : "out of memory");
    ftc_status_free(&status);
    return false;
}

int ftc_diag_report(const char *command, ftc_diagnostics *d) {
    static const char PLACELESS[] = "error: ";
    int kept = d->count < FTC_MAX_DIAGNOSTICS ? d->count : FTC_MAX_DIAGNOSTICS;
    ftc_text all;
    FILE *out = ftc_text_open(&all);
    for (int i = 0; i < kept; i++) {
        const char *text = d->list[i].text;
        if (ftc_name_starts_with(text, PLACELESS)) {
            fprintf(out, "ftc %s: ", command);
            text += strlen(PLACELESS);
        }
        fputs(text, out);
    }
    if (d->count > kept) fprintf(out, "and %d more errors\n", d->count - kept);
    char *text = ftc_text_close(&all, NULL);
    ftc_cli_tell(text);
    free(text);
    ftc_diag_free(d);
    return FTC_EXIT_USAGE;
}

int ftc_status_report(const char *command, ftc_status status) {
    if (status.code == FTC_OK) return FTC_EXIT_OK;
    int code = status.code == FTC_BAD_INPUT ? FTC_EXIT_USAGE : FTC_EXIT_FAILED;
    ftc_cli_error(command, "%s", status.message ? status.message : "out of memory");
    ftc_status_free(&status);
    return code;
}

// --- the values ---------------------------------------------------------------------------------------

// The overrides of one reading, and the texts that they point to.
typedef struct {
    ftc_override *list;
    int n;
    char **texts;
    int n_texts;
} overrides;

static const char *keep(overrides *o, char *text) {
    o->texts = ftc_realloc(o->texts, (size_t)(o->n_texts + 1), sizeof *o->texts);
    return o->texts[o->n_texts++] = text;
}

static void add(overrides *o, ftc_override value) {
    o->list = ftc_realloc(o->list, (size_t)(o->n + 1), sizeof *o->list);
    o->list[o->n++] = value;
}

static void free_overrides(overrides *o) {
    for (int i = 0; i < o->n_texts; i++) free(o->texts[i]);
    free(o->texts);
    free(o->list);
}

// For the entry of the config block that has the role.
static void add_for(overrides *o, ftc_config_role role, const char *value, const char *origin,
                    ftc_override_kind kind) {
    if (value) add(o, (ftc_override){ftc_config_role_name(role), value, origin, kind});
}

static const char *number_text(overrides *o, int64_t value) {
    return keep(o, ftc_format("%lld", (long long)value));
}

static void add_entry(void *context, const char *name, const char *value) {
    overrides *o = context;
    if (!value) return;
    add(o, (ftc_override){.name = keep(o, ftc_strdup(name)),
                          .value = keep(o, ftc_strdup(value)),
                          .origin = "config.json",
                          .kind = FTC_OVERRIDE_OPTIONAL});
}

static void add_config_json(overrides *o, const char *dir, const ftc_hf_config *config) {
    ftc_hf_config_each(config, add_entry, o);
    const char *pooling = ftc_pooling_of(dir);
    add_for(o, FTC_CONFIG_TEXT_POOLING, pooling, "modules.json", FTC_OVERRIDE_OPTIONAL_ROLE);
    int32_t labels = ftc_hf_label_count(dir, config);
    if (labels) add_entry(o, FTC_HF_LABELS, number_text(o, labels));
}

static bool add_sets(overrides *o, const ftc_model_options *options, ftc_diagnostics *d) {
    for (size_t i = 0; i < options->set.n; i++) {
        const char *set = options->set.items[i], *equals = strchr(set, '=');
        if (!equals || equals == set) {
            ftc_diag_add(d, NULL, NULL, 0, 0, "--set %s: expected NAME=VALUE", set);
            return false;
        }
        const char *name = keep(o, ftc_strndup(set, (size_t)(equals - set)));
        add(o, (ftc_override){.name = name, .value = equals + 1, .origin = "--set"});
    }
    return true;
}

static void add_train(overrides *o, const char *name, const char *value) {
    if (value) add(o, (ftc_override){name, value, "the command line", FTC_OVERRIDE_TRAIN});
}

// The items with `separator` between them; NULL when there are none.
static const char *joined(overrides *o, const ftc_text_list *list, const char *separator) {
    char *all = NULL;
    for (size_t i = 0; i < list->n; i++) {
        char *longer = ftc_format("%s%s%s", all ? all : "", all ? separator : "", list->items[i]);
        free(all);
        all = longer;
    }
    return all ? keep(o, all) : NULL;
}

static void add_train_number(overrides *o, const char *name, double value) {
    add_train(o, name, keep(o, ftc_format("%.17g", value)));
}

static void add_train_entries(overrides *o, const ftc_model_options *options) {
    add_train(o, "optimizer", options->optim);
    add_train(o, "freeze", joined(o, &options->freeze, ", "));
    add_train(o, "group", joined(o, &options->group, "; "));
    if (options->layer_decay > 0) add_train_number(o, "layer_decay", options->layer_decay);
    add_train(o, "lora", options->lora);
    if (options->lora_rank) add_train_number(o, "lora_rank", (double)options->lora_rank);
    if (options->lora_alpha > 0) add_train_number(o, "lora_alpha", options->lora_alpha);
    if (options->lora_dropout >= 0) add_train_number(o, "lora_dropout", options->lora_dropout);
}

// What the entry with the role says, where that is text; "": there is none.
static const char *config_text(const ftc_graph *g, ftc_config_role role) {
    const ftc_graph_setting *setting = ftc_graph_config(g, role);
    return setting && setting->text ? setting->text : "";
}

// What pretrained weights determine may not be set to something else: the whole numbers that config.json has,
// but for that of labels, since a head may be new.
static bool check_shapes(const ftc_graph *g, const ftc_hf_config *config, const char *dir,
                         ftc_diagnostics *d) {
    bool ok = true;
    for (uint32_t i = 0; i < g->n_config; i++) {
        const ftc_graph_setting *setting = &g->config[i];
        double theirs;
        if (!setting->hf_name || !setting->is_integer || strcmp(setting->hf_name, FTC_HF_LABELS) == 0 ||
            !ftc_hf_config_number(config, setting->hf_name, &theirs) || theirs == setting->number)
            continue;
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "--set %s=%.17g: the weights in %s have %s = %.17g; leave out --set, or "
                     "--pretrained to start from random weights",
                     setting->name, setting->number, dir, setting->hf_name, theirs);
        ok = false;
    }
    return ok;
}

// Whether config.json asks for another loss than `auto` stands for: training by that one would be a silent
// error.
static bool check_problem(const ftc_graph *g, const ftc_hf_config *config, const char *dir,
                          ftc_diagnostics *d) {
    double labels = 0;
    for (uint32_t i = 0; i < g->n_config; i++)
        if (g->config[i].hf_name && strcmp(g->config[i].hf_name, FTC_HF_LABELS) == 0)
            labels = g->config[i].number;
    if (strcmp(config_text(g, FTC_CONFIG_LOSS), "auto") != 0 || labels < 1) return true;
    const char *problem = "";
    ftc_hf_config_text(config, "problem_type", &problem);
    bool classes =
        strcmp(problem, "multi_label_classification") == 0 && !ftc_graph_config(g, FTC_CONFIG_TASK);
    bool numbers = strcmp(problem, "regression") == 0 && labels > 1 &&
                   ftc_hf_label_count(dir, config) == (int32_t)labels;
    if (classes || numbers)
        ftc_diag_add(
            d, NULL, NULL, 0, 0,
            "%s/config.json: problem_type is \"%s\", which gives a text several %s; ftc trains one a "
            "text: pass --loss cross_entropy to train a class",
            dir, problem, classes ? "classes" : "numbers");
    return !classes && !numbers;
}

// Whether there are adapters, where options say something of them.
static bool check_adapters(const ftc_graph *g, const ftc_model_options *options, ftc_diagnostics *d) {
    const char *option = options->lora_rank           ? "rank"
                         : options->lora_alpha > 0    ? "alpha"
                         : options->lora_dropout >= 0 ? "dropout"
                                                      : NULL;
    for (uint32_t i = 0; option && i < g->n_train; i++)
        if (strcmp(g->train[i].name, "lora") == 0 && g->train[i].text && *g->train[i].text) option = NULL;
    if (option)
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "--lora-%s: the model has no adapters; --lora says which modules get some", option);
    return !option;
}

static bool in_list(const char *list, const char *item) {
    const char *name;
    for (size_t n; ftc_name_next(&list, ", ", &name, &n);)
        if (n == strlen(item) && strncmp(name, item, n) == 0) return true;
    return false;
}

// The task whose class config.json names; in training not what others are fine-tuned from. NULL where the
// family block names no such class.
static const char *task_of_directory(const ftc_graph *g, const ftc_hf_config *config, bool is_used) {
    static const char ARCHITECTURE[] = "architecture ";
    const char *pretraining = "";
    for (uint32_t i = 0; i < g->n_family; i++)
        if (strcmp(g->family[i].name, "pretraining") == 0) pretraining = g->family[i].text;
    for (uint32_t i = 0; i < g->n_family; i++) {
        const ftc_graph_setting *entry = &g->family[i];
        if (!ftc_name_starts_with(entry->name, ARCHITECTURE)) continue;
        const char *task = entry->name + strlen(ARCHITECTURE);
        if (ftc_hf_config_has_class(config, entry->text) && (is_used || !in_list(pretraining, task)))
            return task;
    }
    return NULL;
}

// Whether config.json says that a text has several labels, and nobody another loss.
static bool has_several_labels(const ftc_graph *g, const ftc_hf_config *config) {
    const char *problem = "";
    ftc_hf_config_text(config, "problem_type", &problem);
    return strcmp(config_text(g, FTC_CONFIG_TASK), "classification") == 0 &&
           strcmp(config_text(g, FTC_CONFIG_LOSS), "auto") == 0 &&
           strcmp(problem, "multi_label_classification") == 0;
}

// Whether somebody has set the entry with the role.
static bool is_set(const overrides *o, const ftc_graph *g, ftc_config_role role) {
    const ftc_graph_setting *entry = ftc_graph_config(g, role);
    for (int i = 0; i < o->n; i++) {
        const ftc_override *at = &o->list[i];
        if (at->kind == FTC_OVERRIDE_ROLE && strcmp(at->name, ftc_config_role_name(role)) == 0) return true;
        if (at->kind == FTC_OVERRIDE_CONFIG && entry && strcmp(at->name, entry->name) == 0) return true;
    }
    return false;
}

static bool has_masked_tokens(const ftc_graph *g) {
    for (uint32_t i = 0; i < g->n_decls; i++)
        if (g->decls[i].kind == FTC_DECL_INPUT && g->decls[i].from == FTC_FROM_MASKED_POSITIONS) return true;
    return false;
}

// Parses with the overrides so far. Once more for the task of the directory's class, for scores of masked
// tokens; and with --max-length, cut to what the model's positions allow.
static ftc_graph *parse(const char *name, const char *text, const ftc_model_options *options,
                        const ftc_hf_config *config, overrides *o, ftc_diagnostics *d) {
    ftc_graph *g = ftc_parse_text(name, text, &(ftc_settings){o->list, o->n}, d);
    bool may_choose = g && config && !is_set(o, g, FTC_CONFIG_TASK);
    const char *task = may_choose ? task_of_directory(g, config, options->is_used) : NULL;
    if (!task && may_choose && has_several_labels(g, config)) task = "multi_label";
    if (task) {
        add_for(o, FTC_CONFIG_TASK, keep(o, ftc_strdup(task)), "config.json", FTC_OVERRIDE_ROLE);
        ftc_graph_free(g);
        g = ftc_parse_text(name, text, &(ftc_settings){o->list, o->n}, d);
    }
    if (g && options->fills_masks && has_masked_tokens(g) && ftc_graph_config(g, FTC_CONFIG_VOCAB_BLOCK)) {
        add_for(o, FTC_CONFIG_VOCAB_BLOCK, "0", "ftc predict's", FTC_OVERRIDE_ROLE);
        add_for(o, FTC_CONFIG_BATCH, "1", "ftc predict's", FTC_OVERRIDE_ROLE);
        ftc_graph_free(g);
        g = ftc_parse_text(name, text, &(ftc_settings){o->list, o->n}, d);
    }
    if (!g || !options->max_length) return g;
    const ftc_graph_setting *longest = ftc_graph_config(g, FTC_CONFIG_LONGEST);
    int64_t length = options->max_length;
    if (longest && (double)length > longest->number) length = (int64_t)longest->number;
    ftc_graph_free(g);
    add_for(o, FTC_CONFIG_MAX_LENGTH, number_text(o, length), "--max-length", FTC_OVERRIDE_ROLE);
    return ftc_parse_text(name, text, &(ftc_settings){o->list, o->n}, d);
}

void ftc_model_tell_length(const ftc_graph *g, const ftc_model_options *options) {
    const ftc_graph_setting *longest = ftc_graph_config(g, FTC_CONFIG_LONGEST);
    if (longest && (double)options->max_length > longest->number)
        fprintf(stderr,
                "--max-length %lld: the model has positions for %.0f tokens, so texts are cut to these\n",
                (long long)options->max_length, longest->number);
}

// What the adapters in `dir` were trained with, if it holds some.
static bool add_adapter(overrides *o, const char *dir, ftc_diagnostics *d) {
    ftc_adapter adapter;
    if (!dir || !ftc_adapter_is(dir)) return true;
    if (!add_status(d, ftc_adapter_read(dir, &adapter))) return false;
    add_for(o, FTC_CONFIG_TASK, adapter.task, "adapter_config.json", FTC_OVERRIDE_OPTIONAL_ROLE);
    add_train(o, "lora", keep(o, ftc_strdup(adapter.modules)));
    add_train_number(o, "lora_rank", adapter.rank);
    add_train_number(o, "lora_alpha", adapter.alpha);
    add_train_number(o, "lora_dropout", adapter.dropout);
    ftc_adapter_free(&adapter);
    return true;
}

// The graph of a text and the text with all values in place. `config`: the directory's config.json, NULL
// without one.
static bool build(const char *name, const char *text, const ftc_model_options *options,
                  const ftc_hf_config *config, ftc_model_source *out, ftc_diagnostics *d) {
    overrides o = {0};
    ftc_graph *g = NULL;
    char *resolved = NULL;
    ftc_model_source source = {0};
    if (config) add_config_json(&o, options->pretrained, config);
    if (options->labels)
        add(&o, (ftc_override){.name = FTC_HF_LABELS,
                               .value = number_text(&o, options->labels),
                               .origin = "the data's"});
    bool ok = add_sets(&o, options, d) && ftc_laboratory_dumps(options, source.dumps, d) &&
              add_adapter(&o, options->pretrained, d) && ftc_laboratory_edits(options, &source, d) &&
              ftc_kernels_read(&options->kernels, options->target, &source.kernels, &source.n_kernels, d);
    const char *batch = options->batch ? number_text(&o, options->batch) : NULL;
    add_for(&o, FTC_CONFIG_BATCH, batch, "--batch", FTC_OVERRIDE_ROLE);
    add_for(&o, FTC_CONFIG_LOSS, options->loss, "--loss", FTC_OVERRIDE_ROLE);
    add_for(&o, FTC_CONFIG_TASK, options->task, "--task", FTC_OVERRIDE_ROLE);
    add_for(&o, FTC_CONFIG_CLASS_WEIGHTS, options->class_weights, "--class-weights", FTC_OVERRIDE_ROLE);
    add_train_entries(&o, options);
    if (ok) g = parse(name, text, options, config, &o, d);
    ok = g && check_adapters(g, options, d) &&
         (!config || (check_shapes(g, config, options->pretrained, d) &&
                      check_problem(g, config, options->pretrained, d)));
    if (ok) resolved = ftc_parse_resolve(name, text, &(ftc_settings){o.list, o.n}, d);
    source.text = resolved;
    source.graph = g;
    if (resolved)
        *out = source;
    else
        ftc_model_source_free(&source);
    free_overrides(&o);
    return resolved != NULL;
}

bool ftc_model_read_text(const char *name, const char *text, const ftc_model_options *options,
                         ftc_model_source *out, ftc_diagnostics *d) {
    ftc_hf_config *config = NULL;
    bool ok = !options->pretrained || add_status(d, ftc_hf_config_read(options->pretrained, &config));
    ok = ok && build(name, text, options, config, out, d);
    ftc_hf_config_free(config);
    return ok;
}

// The entries of the train block that are paths.
static bool is_path(const char *name) {
    return strcmp(name, "data") == 0 || strcmp(name, "test") == 0 || strcmp(name, "tokenizer") == 0;
}

// Makes the paths of the train block, which are written relative to the model's file, relative to the current
// folder. An installed text (NULL) lies beside no data: its entries are left out.
static void resolve_paths(ftc_graph *g, const char *model_path) {
    if (!model_path) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < g->n_train; i++)
            if (!is_path(g->train[i].name)) g->train[n++] = g->train[i];
        g->n_train = n;
        return;
    }
    char *copy = ftc_strdup(model_path);
    const char *folder = dirname(copy);
    for (uint32_t i = 0; i < g->n_train; i++) {
        ftc_graph_setting *setting = &g->train[i];
        if (!is_path(setting->name) || !setting->text || setting->text[0] == '/') continue;
        setting->text = ftc_graph_format(g, "%s/%s", folder, setting->text);
    }
    free(copy);
}

char *ftc_model_absolute(const char *path) {
    char *real = path ? realpath(path, NULL) : NULL, folder[PATH_MAX];
    if (!path || real) return real;
    return *path != '/' && getcwd(folder, sizeof folder) ? ftc_path_join(folder, path) : ftc_strdup(path);
}

void ftc_model_source_settle(ftc_model_source *source) {
    ftc_graph *g = source->graph;
    for (uint32_t i = 0; i < g->n_train; i++) {
        ftc_graph_setting *setting = &g->train[i];
        if (!is_path(setting->name) || !setting->text) continue;
        char *absolute = ftc_model_absolute(setting->text);
        setting->text = ftc_graph_string(g, absolute);
        free(absolute);
    }
}

static void close_texts(ftc_model_texts *texts) {
    free(texts->name);
    free(texts->text);
    ftc_hf_config_free(texts->config);
    *texts = (ftc_model_texts){0};
}

// The installed text of a model_type, "bert, roberta, …" in *known; NULL: none.
static const ftc_library_file *find_family(const char *model_type, char **known) {
    const ftc_library_file *found = NULL;
    ftc_text types;
    FILE *f = ftc_text_open(&types);
    for (const ftc_library_file *file = ftc_builtin_models; file->name; file++) {
        char *type = ftc_parse_model_type(file);
        if (type) fprintf(f, "%s%s", ftell(f) ? ", " : "", type);
        if (type && strcmp(type, model_type) == 0) found = file;
        free(type);
    }
    *known = ftc_text_close(&types, NULL);
    return found;
}

// The installed text of the family that the directory's config.json names.
static char *read_family(const char *dir, const ftc_hf_config *config, char **name, ftc_diagnostics *d) {
    const char *type = "";
    char *known;
    ftc_hf_config_text(config, "model_type", &type);
    const ftc_library_file *file = find_family(type, &known);
    if (!file)
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "%s/config.json: model_type is \"%s\", which no installed model is; there are %s: name "
                     "the text of "
                     "a model (MODEL.ir) for another one",
                     dir, type, known);
    free(known);
    return file ? ftc_parse_installed(file, ftc_builtin_models, name, d) : NULL;
}

// path NULL: the installed text for `pretrained`.
static bool open_texts(const char *path, const char *pretrained, ftc_model_texts *out, ftc_diagnostics *d) {
    ftc_model_texts texts = {.pretrained = pretrained};
    if (path) texts.text = ftc_parse_read_model(path, ftc_builtin_models, &texts.name, d);
    bool ok = (!path || texts.text) &&
              (!pretrained || add_status(d, ftc_hf_config_read(pretrained, &texts.config)));
    if (ok && !path) ok = (texts.text = read_family(pretrained, texts.config, &texts.name, d)) != NULL;
    if (ok)
        *out = texts;
    else
        close_texts(&texts);
    return ok;
}

static bool read_texts(const char *path, const ftc_model_texts *texts, const ftc_model_options *options,
                       ftc_model_source *out, ftc_diagnostics *d) {
    if (!build(texts->name, texts->text, options, texts->config, out, d)) return false;
    resolve_paths(out->graph, path);
    return true;
}

bool ftc_model_read(const char *path, const ftc_model_options *options, ftc_model_source *out,
                    ftc_diagnostics *d) {
    ftc_model_texts texts;
    if (!open_texts(path, options->pretrained, &texts, d)) return false;
    bool ok = read_texts(path, &texts, options, out, d);
    close_texts(&texts);
    return ok;
}

void ftc_model_source_free(ftc_model_source *source) {
    if (source->graph) ftc_graph_free(source->graph);
    free(source->text);
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) free((char *)source->dumps[i].text);
    ftc_kernels_free(source->kernels, source->n_kernels);
    for (int i = 0; i < source->n_schedule; i++) free(source->schedule[i]);
    free(source->schedule);
    free(source->schedule_places);
    *source = (ftc_model_source){0};
}

// --- compiling ----------------------------------------------------------------------------------------

// "2GB", "500MB", "1000" bytes; from a kilobyte on, which no model goes below.
static bool parse_bytes(const char *text, int64_t *out) {
    static const struct {
        const char *suffix;
        double bytes;
    } UNITS[] = {{"", 1},     {"B", 1},      {"KB", 1e3},      {"MB", 1e6},
                 {"GB", 1e9}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
    char *end;
    double value = strtod(text, &end);
    for (size_t i = 0; end != text && i < sizeof UNITS / sizeof *UNITS; i++) {
        if (strcasecmp(end, UNITS[i].suffix) != 0) continue;
        double bytes = value * UNITS[i].bytes;
        if (!(bytes >= 1e3 && bytes <= 1e18)) return false;
        *out = (int64_t)bytes;
        return true;
    }
    return false;
}

const ftc_target *ftc_model_target(const ftc_model_options *options, ftc_diagnostics *d) {
    const ftc_target *target = ftc_target_named(options->target ? options->target : "native");
    if (!target)
        ftc_diag_add(d, NULL, NULL, 0, 0, "--target %s: there are " FTC_TARGET_NAMES, options->target);
    return target;
}

bool ftc_model_compile_options(const ftc_model_source *source, const ftc_model_options *options,
                               ftc_compile_options *out, ftc_diagnostics *d) {
    ftc_compile_options compile = {
        .target = ftc_model_target(options, d),
        .skip = options->no_pass.items,
        .n_skip = (int)options->no_pass.n,
        .use_blas = options->gemm == FTC_GEMM_OPENBLAS,
        .bf16 = options->precision == FTC_PRECISION_BF16,
        .guard = options->guard,
        .pretrained = options->pretrained,
        .source_text = source->text,
        .is_looked_at = options->is_looked_at,
        .times = options->times,
        .schedule = (const char *const *)source->schedule,
        .schedule_places = source->schedule_places,
        .n_schedule = source->n_schedule,
        .kernels = source->kernels,
        .n_kernels = source->n_kernels,
        .threads = ftc_threads_available(),
    };
    memcpy(compile.dumps, source->dumps, sizeof compile.dumps);
    if (!compile.target) return false;
    if (options->memory && strcmp(options->memory, "least") == 0) {
        compile.memory_budget_bytes = FTC_LEAST_MEMORY;
    } else if (options->memory && !parse_bytes(options->memory, &compile.memory_budget_bytes)) {
        ftc_diag_add(d, NULL, NULL, 0, 0,
                     "--memory %s: expected a number of bytes from 1KB on, as 2GB or 500MB, or \"least\"",
                     options->memory);
        return false;
    }
    for (int i = 0; i < compile.n_skip; i++)
        if (!ftc_pass_check_skip(compile.skip[i], d)) return false;
    *out = compile;
    return true;
}

static void run_threads(void *pool, ftc_threads_fn *fn, void *context) {
    ftc_threads_run(pool, fn, context);
}

static void tell_tuned(void *context, const char *contraction, const char *plan, double default_seconds,
                       double seconds) {
    (void)context;
    fprintf(stderr, "  %-70s %8.2f ms, %s%s\n", contraction, 1e3 * default_seconds, plan,
            seconds < default_seconds ? "" : " (default)");
    if (seconds < default_seconds)
        fprintf(stderr, "  %-70s %8.2f ms, %.2f times as fast\n", "", 1e3 * seconds,
                default_seconds / seconds);
}

bool ftc_model_tune(const ftc_model_source *source, const ftc_compile_options *compile, ftc_tuned *tuned,
                    ftc_diagnostics *d) {
    ftc_threads *threads = NULL;
    if (!add_status(d, ftc_threads_create(ftc_threads_available(), &threads))) return false;
    fprintf(stderr, "tuning on %d threads\n", ftc_threads_count(threads));
    ftc_tune_options tune = {
        .run = run_threads, .pool = threads, .threads = ftc_threads_count(threads), .told = tell_tuned};
    bool ok = ftc_tune(source->graph, compile, &tune, tuned, d);
    ftc_threads_free(threads);
    return ok;
}

// Whether the options have graphs, or edits of the schedule, of their own.
static bool has_graphs(const ftc_model_options *options) {
    bool has = options->graphs.n > 0;
    for (int i = 0; i < FTC_ENTRY_COUNT; i++) has = has || options->graph_texts[i].text;
    return has;
}

static bool has_schedule(const ftc_model_options *options) {
    return options->schedule || options->schedule_text;
}

// What `options` leave open is as in `old`.
static void keep_choices(const ftc_manifest *old, const ftc_model_options *options,
                         ftc_compile_options *compile) {
    ftc_compile_options was = ftc_manifest_options(old);
    if (options->gemm == FTC_GEMM_UNSET) compile->use_blas = was.use_blas;
    if (!has_graphs(options)) memcpy(compile->dumps, was.dumps, sizeof was.dumps);
    if (!has_schedule(options)) {
        compile->schedule = was.schedule;
        compile->schedule_places = was.schedule_places;
        compile->n_schedule = was.n_schedule;
        compile->schedule_is_kept = was.schedule_is_kept;
    }
    if (!options->kernels.n) {
        compile->kernels = was.kernels;
        compile->n_kernels = was.n_kernels;
    }
    if (options->precision == FTC_PRECISION_UNSET) compile->bf16 = was.bf16;
    if (!options->memory) compile->memory_budget_bytes = was.memory_budget_bytes;
    compile->guard |= was.guard;
    if (options->no_pass.n) return;
    compile->skip = was.skip;
    compile->n_skip = was.n_skip;
}

bool ftc_model_compile_options_as(const ftc_model_source *source, const ftc_model_options *options,
                                  const ftc_model *like, ftc_compile_options *out, ftc_tuned *tuned,
                                  ftc_diagnostics *d) {
    const ftc_manifest *old = ftc_program_manifest(like->loaded);
    if (!ftc_model_compile_options(source, options, out, d)) return false;
    keep_choices(old, options, out);
    *tuned = ftc_manifest_tuned(old, out->target);
    out->tuned = tuned;
    return true;
}

// `old`: the program that is compiled again, whose choices and tuned plans hold unless the options ask for
// others; NULL: none.
static bool compile(const ftc_model_source *source, const ftc_model_options *options, uint32_t entries,
                    const ftc_manifest *old, ftc_compiled *compiled, ftc_diagnostics *d) {
    ftc_compile_options compile;
    if (!ftc_model_compile_options(source, options, &compile, d)) return false;
    ftc_tuned tuned = {0};
    if (old) keep_choices(old, options, &compile);
    if (old && !options->tune) tuned = ftc_manifest_tuned(old, compile.target);
    compile.entries = entries;
    compile.tuned = &tuned;
    bool ok = (!options->tune || ftc_model_tune(source, &compile, &tuned, d)) &&
              ftc_compile(source->graph, &compile, compiled, d);
    ftc_tuned_free(&tuned);
    return ok;
}

bool ftc_model_compile(const ftc_model_source *source, const ftc_model_options *options, uint32_t entries,
                       ftc_compiled *compiled, ftc_diagnostics *d) {
    return compile(source, options, entries, NULL, compiled, d);
}

// Of a program that was loaded; false when it was not.
static bool set_model(ftc_loaded_program *loaded, ftc_model *out) {
    if (!loaded) return false;
    *out = (ftc_model){loaded, ftc_program_of(loaded)};
    return true;
}

static bool compile_and_load(ftc_model_source *source, const ftc_model_options *options, uint32_t entries,
                             const ftc_manifest *old, ftc_model *out, ftc_diagnostics *d) {
    ftc_compiled compiled;
    return compile(source, options, entries, old, &compiled, d) &&
           set_model(ftc_program_take(&compiled, d), out);
}

// The first entry of the train block that the options ask for and the program does not have; NULL: none. *was
// is allocated.
static const char *other_training(const ftc_program *program, const ftc_model_options *options, char **was) {
    overrides o = {0};
    const char *name = NULL;
    add_train_entries(&o, options);
    for (int i = 0; i < o.n && !name; i++) {
        const char *text = ftc_setting_text(program->train, program->n_train, o.list[i].name);
        double number = ftc_setting_number(program->train, program->n_train, o.list[i].name, NAN);
        if (text ? strcmp(text, o.list[i].value) == 0 : strtod(o.list[i].value, NULL) == number) continue;
        name = o.list[i].name;
        *was = isnan(number) ? ftc_strdup(text ? text : "none") : ftc_format("%g", number);
    }
    free_overrides(&o);
    return name;
}

static ftc_gemm gemm_of(const ftc_program *program) {
    return program->needs_sgemm ? FTC_GEMM_OPENBLAS : FTC_GEMM_NATIVE;
}

static ftc_precision precision_of(const ftc_program *program) {
    return strcmp(program->precision, "bf16") == 0 ? FTC_PRECISION_BF16 : FTC_PRECISION_FP32;
}

static double config_number(const ftc_program *program, ftc_config_role role, double otherwise) {
    const ftc_setting *setting = ftc_program_config(program, role);
    return setting ? setting->number : otherwise;
}

// What the options ask for that the program does not have: allocated text, or NULL when it fits.
static char *other_structure(const ftc_program *program, const ftc_model_options *options) {
    const char *task = ftc_program_task(program), *entry;
    char *why = NULL, *was = NULL;
    double batch = config_number(program, FTC_CONFIG_BATCH, 0);
    double length = config_number(program, FTC_CONFIG_MAX_LENGTH, 0);
    double longest = config_number(program, FTC_CONFIG_LONGEST, (double)INT64_MAX);
    double wanted = (double)options->max_length < longest ? (double)options->max_length : longest;
    if (options->set.n || options->no_pass.n || has_graphs(options) || options->kernels.n ||
        has_schedule(options) || options->tune || options->memory || options->pretrained || options->loss ||
        options->class_weights || options->target ||
        (options->gemm != FTC_GEMM_UNSET && options->gemm != gemm_of(program))) {
        why = ftc_strdup("other compile options are asked for");
    } else if (options->precision != FTC_PRECISION_UNSET && options->precision != precision_of(program)) {
        why = ftc_format("it was compiled for %s", program->precision);
    } else if (options->task && (!task || strcmp(options->task, task) != 0)) {
        why = ftc_format("it was compiled for the task %s", task ? task : "of its text");
    } else if (options->guard && !program->guarded) {
        why = ftc_strdup("it was compiled without --guard");
    } else if ((double)options->batch > batch) {
        why = ftc_format("it was compiled for batches of %.0f, --batch asks for %lld", batch,
                         (long long)options->batch);
    } else if (options->max_length && wanted > length) {
        why = ftc_format("it was compiled for %.0f tokens, --max-length asks for %.0f", length, wanted);
    } else if ((entry = other_training(program, options, &was))) {
        why = ftc_format("another %s is asked for than its own (%s)", entry, was);
        free(was);
    }
    return why;
}

// Copies the paths of an artifact's train block over those of its source, which are those of the model's
// file.
static void copy_paths(const ftc_program *program, ftc_graph *g) {
    for (uint32_t i = 0; i < g->n_train; i++) {
        const char *text = ftc_setting_text(program->train, program->n_train, g->train[i].name);
        if (text && is_path(g->train[i].name)) g->train[i].text = ftc_graph_string(g, text);
    }
}

static bool compile_again(const ftc_model *old, const ftc_model_options *options, uint32_t entries,
                          ftc_model *out, ftc_diagnostics *d) {
    ftc_model_options again = *options;
    if (!again.pretrained) again.pretrained = old->program->pretrained;
    if (!again.task) again.task = ftc_program_task(old->program);
    ftc_model_source source;
    if (!ftc_model_read_text("model.ir of the artifact", old->program->source, &again, &source, d))
        return false;
    copy_paths(old->program, source.graph);
    bool ok = compile_and_load(&source, &again, entries, ftc_program_manifest(old->loaded), out, d);
    ftc_model_source_free(&source);
    return ok;
}

// Settings of a graph in the form that programs have. To be freed.
static ftc_setting *list_settings(const ftc_graph_setting *settings, uint32_t n) {
    ftc_setting *list = ftc_alloc((size_t)n + 1, sizeof *list);
    for (uint32_t i = 0; i < n; i++)
        list[i] =
            (ftc_setting){.name = settings[i].name, .text = settings[i].text, .number = settings[i].number};
    return list;
}

static void describe_source(ftc_model_candidate *c) {
    const ftc_graph *g = c->source.graph;
    const ftc_graph_setting *batch = ftc_graph_config(g, FTC_CONFIG_BATCH);
    c->batch = batch ? (int64_t)batch->number : 0;
    c->train = list_settings(g->train, g->n_train);
    c->n_train = (int32_t)g->n_train;
}

static void describe_artifact(ftc_model_candidate *c) {
    const ftc_program *program = c->artifact.program;
    c->batch = (int64_t)config_number(program, FTC_CONFIG_BATCH, 0);
    c->n_train = program->n_train;
    c->train = ftc_alloc((size_t)c->n_train + 1, sizeof *c->train);
    if (c->n_train) memcpy(c->train, program->train, (size_t)c->n_train * sizeof *c->train);
    if (!c->pretrained) c->pretrained = program->pretrained;
}

bool ftc_model_find(const char *path, const ftc_model_options *options, ftc_model_candidate *out,
                    ftc_diagnostics *d) {
    ftc_model_candidate c = {.path = path, .pretrained = options->pretrained};
    if (!path || ftc_name_ends_with(path, ".ir")) {
        if (!open_texts(path, options->pretrained, &c.texts, d)) return false;
        if (!read_texts(path, &c.texts, options, &c.source, d)) {
            close_texts(&c.texts);
            return false;
        }
        describe_source(&c);
    } else {
        ftc_object object;
        if (!ftc_artifact_read(path, &object, d)) return false;
        bool ok = set_model(ftc_program_load(&object, &c.is_recompiled, d), &c.artifact);
        free(object.bytes);
        if (!ok) return false;
        describe_artifact(&c);
    }
    *out = c;
    return true;
}

// Reads again only what is another now.
static bool reopen_texts(ftc_model_candidate *c, const char *pretrained, ftc_diagnostics *d) {
    const char *was = c->texts.pretrained;
    if (was == pretrained || (was && pretrained && strcmp(was, pretrained) == 0)) return true;
    close_texts(&c->texts);
    return open_texts(c->path, pretrained, &c->texts, d);
}

bool ftc_model_finish(ftc_model_candidate *c, const ftc_model_options *options, uint32_t entries,
                      ftc_model *out, char **why, ftc_diagnostics *d) {
    bool ok = true;
    *why = NULL;
    if (c->source.graph) {
        ftc_model_source_free(&c->source);
        ok = reopen_texts(c, options->pretrained, d) &&
             read_texts(c->path, &c->texts, options, &c->source, d) &&
             compile_and_load(&c->source, options, entries, NULL, out, d);
    } else if ((*why = other_structure(c->artifact.program, options))) {
        ok = compile_again(&c->artifact, options, entries, out, d);
        if (!ok) {
            free(*why);
            *why = NULL;
        }
    } else {
        if (c->is_recompiled) *why = ftc_strdup("it was compiled for CPU features that this machine lacks");
        *out = c->artifact;
        c->artifact = (ftc_model){0};
    }
    ftc_model_candidate_free(c);
    return ok;
}

void ftc_model_candidate_free(ftc_model_candidate *c) {
    close_texts(&c->texts);
    ftc_model_source_free(&c->source);
    ftc_model_close(&c->artifact);
    free(c->train);
    *c = (ftc_model_candidate){0};
}

bool ftc_model_open_dir(const char *dir, const ftc_model_options *options, uint32_t entries, ftc_model *out,
                        ftc_diagnostics *d) {
    ftc_model_options own = *options;
    own.pretrained = dir;
    char *path = ftc_path_join(dir, "model.ir");
    ftc_model_source source;
    bool ok = ftc_model_read(ftc_file_exists(path) ? path : NULL, &own, &source, d);
    free(path);
    if (!ok) return false;
    ok = compile_and_load(&source, &own, entries, NULL, out, d);
    ftc_model_source_free(&source);
    return ok;
}

void ftc_model_close(ftc_model *model) {
    if (model->loaded) ftc_program_unload(model->loaded);
    *model = (ftc_model){0};
}

// --- settings -----------------------------------------------------------------------------------------

static const ftc_setting *find_setting(const ftc_setting *settings, int32_t n, const char *name) {
    for (int32_t i = 0; i < n; i++) {
        if (strcmp(settings[i].name, name) == 0) return &settings[i];
    }
    return NULL;
}

const char *ftc_setting_text(const ftc_setting *settings, int32_t n, const char *name) {
    const ftc_setting *setting = find_setting(settings, n, name);
    return setting ? setting->text : NULL;
}

const char *ftc_program_task(const ftc_program *program) {
    const ftc_setting *task = ftc_program_config(program, FTC_CONFIG_TASK);
    return task ? task->text : NULL;
}

double ftc_setting_number(const ftc_setting *settings, int32_t n, const char *name, double otherwise) {
    const ftc_setting *setting = find_setting(settings, n, name);
    return setting && !setting->text ? setting->number : otherwise;
}
