#include "compiler/driver/run_options.h"

#include "ir/base/alloc.h"
#include "runtime/json.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN(name)   offsetof(ftc_run_flags, name)
#define TRAIN(name) offsetof(ftc_run_flags, train.name)
static const ftc_option OPTIONS[] = {
    {"epochs", "num_train_epochs", FTC_OPTION_NUMBER, TRAIN(epochs), "N", 0,
     "times through the data; fractions too"},
    {"max-steps", NULL, FTC_OPTION_INT, TRAIN(max_steps), "N", -1, "end after N optimizer steps instead"},
    {"batch", "per_device_train_batch_size", FTC_OPTION_INT, TRAIN(batch), "N", 1,
     "examples a (micro-)batch"},
    {"eval-batch", "per_device_eval_batch_size", FTC_OPTION_INT, TRAIN(eval_batch), "N", 1,
     "examples a batch of evaluation; at most what the model is compiled for"},
    {"accumulation", "gradient_accumulation_steps", FTC_OPTION_INT, TRAIN(accumulation), "N", 1,
     "micro-batches a step"},
    {"shards", NULL, FTC_OPTION_INT, RUN(shards), "N", 1,
     "parts of a (micro-)batch, --batch examples each; one a process unless set"},
    {"wire", NULL, FTC_OPTION_CHOICE, TRAIN(wire), FTC_WIRE_NAMES, 0,
     "what gradients are between processes; sums are fp32. fp32 unless set: the same bits for any number of "
     "processes"},
    {"lr", "learning_rate", FTC_OPTION_NUMBER, TRAIN(lr), "X", 0, "peak learning rate"},
    {"schedule", "lr_scheduler_type", FTC_OPTION_CHOICE, TRAIN(schedule), FTC_SCHEDULE_NAMES, 0,
     "course of the learning rate"},
    {"warmup-steps", NULL, FTC_OPTION_STEPS, TRAIN(warmup_steps), "N", 0,
     "steps of linear warm-up; below 1 a fraction of all"},
    {"warmup-ratio", NULL, FTC_OPTION_SHARE, TRAIN(warmup_ratio), "X", 0,
     "the same as a fraction, which transformers 5 has no more"},
    {"schedule-cycles", "num_cycles", FTC_OPTION_NUMBER, TRAIN(schedule_cycles), "X", 0,
     "waves of cosine, restarts of cosine_with_restarts"},
    {"schedule-power", "power", FTC_OPTION_NUMBER, TRAIN(schedule_power), "X", 0, "of polynomial"},
    {"schedule-end", "lr_end", FTC_OPTION_NUMBER, TRAIN(schedule_end), "X", 0,
     "last learning rate of polynomial"},
    {"schedule-timescale", "timescale", FTC_OPTION_NUMBER, TRAIN(schedule_timescale), "X", 0,
     "of inverse_sqrt"},
    {"schedule-min-lr", "min_lr", FTC_OPTION_NUMBER, TRAIN(schedule_min_lr), "X", 0,
     "least rate of cosine_with_min_lr and reduce_lr_on_plateau"},
    {"schedule-min-share", "min_lr_rate", FTC_OPTION_SHARE, TRAIN(schedule_min_share), "X", 0,
     "the same of cosine_with_min_lr as a share of --lr"},
    {"schedule-min-ratio", "min_lr_ratio", FTC_OPTION_SHARE, TRAIN(schedule_min_share), "X", 0,
     "the same of warmup_stable_decay"},
    {"schedule-decay", "num_decay_steps", FTC_OPTION_INT, TRAIN(schedule_decay), "N", 0,
     "steps at the end of warmup_stable_decay"},
    {"schedule-stable", "num_stable_steps", FTC_OPTION_INT, TRAIN(schedule_stable), "N", 0,
     "steps before them, unless all that are left"},
    {"schedule-rise", "warmup_type", FTC_OPTION_CHOICE, TRAIN(schedule_rise), FTC_SLOPE_NAMES, 0,
     "form of warmup_stable_decay's warm-up"},
    {"schedule-fall", "decay_type", FTC_OPTION_CHOICE, TRAIN(schedule_fall), FTC_SLOPE_NAMES, 0,
     "form of its end"},
    {"schedule-factor", "factor", FTC_OPTION_NUMBER, TRAIN(schedule_factor), "X", 0,
     "what reduce_lr_on_plateau multiplies the rate by"},
    {"schedule-patience", "patience", FTC_OPTION_INT, TRAIN(schedule_patience), "N", 0,
     "after more than N evaluations without a gain"},
    {"schedule-threshold", "threshold", FTC_OPTION_NUMBER, TRAIN(schedule_threshold), "X", 0,
     "what counts as a gain, as a share of the best"},
    {"schedule-cooldown", "cooldown", FTC_OPTION_INT, TRAIN(schedule_cooldown), "N", 0,
     "evaluations that do not count after a change"},
    {"weight-decay", NULL, FTC_OPTION_NUMBER, TRAIN(weight_decay), "X", 0,
     "weight decay of all parameters, with --args of all but biases and LayerNorm's; 0.01 with adamw, else "
     "0"},
    {"beta1", "adam_beta1", FTC_OPTION_PROBABILITY, TRAIN(beta1), "X", 0, "decay of the mean of gradients"},
    {"beta2", "adam_beta2", FTC_OPTION_PROBABILITY, TRAIN(beta2), "X", 0,
     "decay of the mean of their squares"},
    {"eps", "adam_epsilon", FTC_OPTION_NUMBER, TRAIN(eps), "X", 0, "added to the root of the latter"},
    {"momentum", NULL, FTC_OPTION_SHARE, TRAIN(momentum), "X", 0, "of sgd; 0.9, with --args 0"},
    {"max-grad-norm", NULL, FTC_OPTION_NUMBER, TRAIN(max_grad_norm), "X", 0,
     "clip gradients to this global norm; 0: not"},
    {"label-smoothing", "label_smoothing_factor", FTC_OPTION_SHARE, TRAIN(label_smoothing), "X", 0,
     "weight of the uniform label"},
    {"class-weights", NULL, FTC_OPTION_TEXT, RUN(class_weights), "FILE", 0,
     "what each class weighs in the loss: JSON or CSV by names; balanced: by how often each occurs"},
    {"focal-gamma", NULL, FTC_OPTION_NUMBER, TRAIN(focal_gamma), "X", 0, "of --loss focal; 2 unless set"},
    {"dropout", NULL, FTC_OPTION_PROBABILITY, TRAIN(dropout), "P", 0, "every dropout probability"},
    {"seed", NULL, FTC_OPTION_SEED, TRAIN(seed), "N", 0, "of new weights, dropout and the order of examples"},
    {"data-seed", NULL, FTC_OPTION_SEED, TRAIN(data_seed), "N", 0, "of the order of examples alone"},
    {"no-shuffle", NULL, FTC_OPTION_FLAG, RUN(no_shuffle), NULL, 0, "keep the order of the examples"},
    {"group-by-length", NULL, FTC_OPTION_FLAG, RUN(group_by_length), NULL, 0,
     "batches of examples of about one length"},
    {"sampling", "train_sampling_strategy", FTC_OPTION_CHOICE, TRAIN(sampling), FTC_SAMPLING_NAMES, 0,
     "order of the examples"},
    {"drop-last", "dataloader_drop_last", FTC_OPTION_FLAG, TRAIN(drop_last), NULL, 0,
     "leave out an epoch's last partial batch"},
    {"logging-strategy", NULL, FTC_OPTION_CHOICE, TRAIN(logging_strategy), FTC_WHEN_NAMES, 0,
     "when steps are logged"},
    {"logging-steps", NULL, FTC_OPTION_STEPS, TRAIN(logging_steps), "N", 0,
     "steps between log lines; below 1 a fraction"},
    {"logging-first-step", NULL, FTC_OPTION_FLAG, TRAIN(logging_first_step), NULL, 0,
     "log the first step too"},
    {"eval-strategy", "evaluation_strategy", FTC_OPTION_CHOICE, TRAIN(eval_strategy), FTC_WHEN_NAMES, 0,
     "when the test rows are evaluated"},
    {"eval-steps", NULL, FTC_OPTION_STEPS, TRAIN(eval_steps), "N", 0, "steps between evaluations"},
    {"eval-on-start", NULL, FTC_OPTION_FLAG, TRAIN(eval_on_start), NULL, 0, "evaluate before training"},
    {"eval-delay", NULL, FTC_OPTION_STEPS, TRAIN(eval_delay), "N", 0,
     "no evaluation before N steps or epochs"},
    {"save-strategy", NULL, FTC_OPTION_CHOICE, TRAIN(save_strategy), FTC_WHEN_OR_BEST_NAMES, 0,
     "when checkpoints are saved"},
    {"save-steps", NULL, FTC_OPTION_STEPS, TRAIN(save_steps), "N", 0, "steps between checkpoints"},
    {"save-total-limit", NULL, FTC_OPTION_INT, TRAIN(save_total_limit), "N", 0,
     "newest checkpoints to keep; 0: all"},
    {"save-only-model", NULL, FTC_OPTION_FLAG, TRAIN(save_only_model), NULL, 0,
     "checkpoints without optimizer state"},
    {"load-best-model-at-end", NULL, FTC_OPTION_FLAG, TRAIN(load_best), NULL, 0,
     "end with the best checkpoint's weights"},
    {"metric-for-best-model", NULL, FTC_OPTION_TEXT, TRAIN(best_metric), "NAME", 0,
     "loss, accuracy, f1, roc_auc, matthews_correlation, …"},
    {"greater-is-better", NULL, FTC_OPTION_CHOICE, TRAIN(greater_is_better), FTC_CHOICE_NAMES, 0,
     "for that metric"},
    {"early-stopping-patience", NULL, FTC_OPTION_INT, TRAIN(patience), "N", 0,
     "end after N evaluations without a gain"},
    {"early-stopping-threshold", NULL, FTC_OPTION_NUMBER, TRAIN(patience_threshold), "X", 0,
     "what counts as a gain"},
    {"output", "output_dir", FTC_OPTION_TEXT, TRAIN(output), "DIR", 0,
     "where model and checkpoints are saved"},
    {"lora-merge", NULL, FTC_OPTION_FLAG, RUN(lora_merge), NULL, 0,
     "save the whole model with the adapters added to its weights"},
    {"overwrite", "overwrite_output_dir", FTC_OPTION_FLAG, RUN(overwrite), NULL, 0,
     "save there even if the folder holds files that no run has written"},
    {"trust-model", NULL, FTC_OPTION_FLAG, RUN(trust_model), NULL, 0,
     "let the model's text name files outside of its folder, and where results go"},
    {"resume", NULL, FTC_OPTION_FLAG, RUN(resume), NULL, 0,
     "continue from the newest checkpoint in --output"},
    {"resume-from-checkpoint", NULL, FTC_OPTION_TEXT, RUN(resume_from), "DIR", 0,
     "continue from this checkpoint"},
    {"threads", NULL, FTC_OPTION_INT, RUN(threads), "N", 1, "threads; one a processor unless set"},
    {"metrics", NULL, FTC_OPTION_TEXT, RUN(metrics), "FILE", 0,
     "write the metrics there instead of to standard output"},
    {"report-to", NULL, FTC_OPTION_CHOICE, RUN(report_to), FTC_REPORT_TO_NAMES, 0,
     "write event files for TensorBoard; all: all that there is, which is this"},
    {"logging-dir", NULL, FTC_OPTION_TEXT, RUN(logging_dir), "DIR", 0,
     "where; OUTPUT/runs/TIME_HOST unless set"},
    {"args", NULL, FTC_OPTION_TEXT, RUN(args), "FILE", 0, "TrainingArguments as JSON; Trainer's defaults"},
    {"gradient-checkpointing", NULL, FTC_OPTION_FLAG, RUN(gradient_checkpointing), NULL, 0,
     "compute layers again in the backward pass: --memory least"},
    {"bf16", NULL, FTC_OPTION_FLAG, RUN(bf16), NULL, 0, "--precision bf16 under its name there"},
    {"disable-progress", "disable_tqdm", FTC_OPTION_FLAG, RUN(disable_progress), NULL, 0,
     "no progress lines"},
    {"no-report", NULL, FTC_OPTION_FLAG, RUN(no_report), NULL, 0, "write no report.html into --output"},
    {0},
};

void ftc_run_option_groups(ftc_run_options *options, ftc_option_group groups[FTC_RUN_OPTION_GROUPS]) {
    groups[0] = (ftc_option_group){"Training", OPTIONS, &options->run};
    groups[1] = (ftc_option_group){"Data", ftc_rows_option_table, &options->data};
    groups[2] = (ftc_option_group){"Columns", ftc_column_option_table, &options->data};
    groups[3] = (ftc_option_group){"Compiling (as for ftc compile)", ftc_model_option_table, &options->model};
    groups[4] = (ftc_option_group){"Weights (as for ftc compile)", ftc_weights_option_table, &options->model};
    groups[5] = (ftc_option_group){0};
}

static ftc_run_options defaults(bool of_trainer) {
    return (ftc_run_options){
        .run.train = of_trainer ? ftc_train_options_trainer() : ftc_train_options_native(),
        .data = ftc_data_options_default(),
        .model = ftc_model_options_default(),
    };
}

ftc_run_options ftc_run_options_default(void) {
    return defaults(false);
}

void ftc_run_options_free(ftc_run_options *options) {
    for (size_t i = 0; i < options->owned.n; i++) free((char *)options->owned.items[i]);
    ftc_text_list_free(&options->owned);
    ftc_model_options_free(&options->model);
}

// --- the train block ----------------------------------------------------------------------------------

static bool is_one_of(const char *name, const char *const *names) {
    for (; *names; names++) {
        if (strcmp(name, *names) == 0) return true;
    }
    return false;
}

static bool is_path(const ftc_option *option) {
    return option->value && (strcmp(option->value, "DIR") == 0 || strcmp(option->value, "FILE") == 0);
}

// Whether an entry of the train block is the user's alone to say, unless the model is trusted: where
// something is written, files that a run continues from, or that it may.
static bool is_the_users(const ftc_option *option, const char *name) {
    static const char *const READ[] = {"data", "test", "tokenizer", NULL}, *const PERMITS[] = {
                                                                               "resume", "overwrite",
                                                                               "trust-model", NULL};
    return (is_path(option) && !is_one_of(name, READ)) || is_one_of(option->name, PERMITS);
}

// Whether a path of the train block of `model`, a text, lies outside of that text's folder.
static bool is_outside(const char *model, const char *path) {
    const char *slash = strrchr(model, '/');
    size_t folder = slash ? (size_t)(slash - model) + 1 : 0;
    if (folder && strncmp(path, model, folder) == 0)
        path += folder;
    else if (strncmp(path, "./", 2) == 0)
        path += 2;
    if (*path == '/') return true;
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2])) return true;
    }
    return false;
}

// What messages call the model.
static const char *model_name(const ftc_model_candidate *c) {
    return c->path ? c->path : c->pretrained;
}

// Refuses what the text of a model may not choose; of an artifact, whose paths its maker has seen, only where
// results go.
static bool may_set(const ftc_command *self, const ftc_model_candidate *c, const ftc_setting *setting,
                    const ftc_option *option) {
    bool is_text = c->source.graph != NULL;
    bool outside =
        is_text && is_path(option) && setting->text && c->path && is_outside(c->path, setting->text);
    if (!outside && !is_the_users(option, setting->name)) return true;
    const char *text = setting->text ? setting->text : "…";
    if (outside) {
        ftc_cli_error(self->name,
                      "%s: %s = \"%s\" in the train block: a model's text names files of its own folder "
                      "only; say --%s yourself, or --trust-model",
                      model_name(c), setting->name, text, option->name);
    } else {
        ftc_cli_error(self->name,
                      "%s: %s = \"%s\" in the train block: that is not for a model's text to choose; take "
                      "the entry out, or --trust-model",
                      model_name(c), setting->name, text);
    }
    return false;
}

// A copy that lives as long as the options.
static const char *own(ftc_text_list *owned, const char *text) {
    char *copy = ftc_strdup(text);
    ftc_text_list_add(owned, copy);
    return copy;
}

// Applies the model's train block: its data unless the command line names other data, its tokenizer unless
// that does or pretrained weights bring theirs, and with `hyperparameters` the rest.
static bool apply_train_block(const ftc_command *self, const ftc_model_candidate *c, bool with_data,
                              bool with_tokenizer, bool hyperparameters, bool trusted,
                              const ftc_option_group *groups, ftc_text_list *owned) {
    static const char *const DATA[] = {"data", "test", NULL};
    static const char *const COMPILERS[] = {"optimizer", "freeze",     "group",        "layer_decay", "lora",
                                            "lora_rank", "lora_alpha", "lora_dropout", NULL};
    for (int32_t i = 0; i < c->n_train; i++) {
        const ftc_setting *setting = &c->train[i];
        bool is_tokenizer = strcmp(setting->name, "tokenizer") == 0, is_data = is_one_of(setting->name, DATA);
        if (is_one_of(setting->name, COMPILERS) || (is_data && !with_data) ||
            (is_tokenizer && (c->pretrained || !with_tokenizer)) ||
            (!is_data && !is_tokenizer && !hyperparameters)) {
            continue;
        }
        const ftc_option *option;
        const ftc_option_group *group;
        const char *name = setting->name;
        if (strcmp(name, "lr_from_scratch") == 0) {
            if (c->pretrained) continue;
            name = "lr";
        }
        if (!ftc_cli_find(groups, name, &option, &group)) {
            const char *near = ftc_cli_nearest_option(groups, setting->name);
            ftc_cli_error(self->name, "%s: unknown entry '%s' in the train block%s%s%s", model_name(c),
                          setting->name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
            return false;
        }
        if (!trusted && !may_set(self, c, setting, option)) return false;
        char number[40], why[160];
        snprintf(number, sizeof number, "%.17g", setting->number);
        const char *text = own(owned, setting->text ? setting->text : number);
        if (!ftc_option_set(option, group->target, text, why, sizeof why)) {
            ftc_cli_error(self->name, "%s: %s = %s in the train block: %s", model_name(c), setting->name,
                          text, why);
            return false;
        }
    }
    return true;
}

// ---------------------------------------------------------------------------------------------- --args

// Fields of TrainingArguments that say nothing about a training here: hubs, devices, reports to services;
// each with the value that to_json_string() writes when nobody has set it, if none of null, false, [] and {}.
#define ANY_VALUE "*"
typedef struct {
    const char *name, *usual;
} ignored_field;
static const ignored_field IGNORED[] = {
    {"accelerator_config", ANY_VALUE},
    {"activation_checkpointing", NULL},
    {"activation_checkpointing_kwargs", NULL},
    {"auto_find_batch_size", NULL},
    {"average_tokens_across_devices", "true"},
    {"batch_eval_metrics", NULL},
    {"bf16_full_eval", NULL},
    {"dataloader_in_order", "true"},
    {"dataloader_multiprocessing_context", NULL},
    {"dataloader_num_workers", "0"},
    {"dataloader_persistent_workers", NULL},
    {"dataloader_pin_memory", "true"},
    {"dataloader_prefetch_factor", NULL},
    {"ddp_backend", NULL},
    {"ddp_broadcast_buffers", NULL},
    {"ddp_bucket_cap_mb", NULL},
    {"ddp_find_unused_parameters", NULL},
    {"ddp_static_graph", NULL},
    {"ddp_timeout", "1800"},
    {"debug", NULL},
    {"deepspeed", NULL},
    {"do_eval", ANY_VALUE},
    {"do_predict", NULL},
    {"do_train", ANY_VALUE},
    {"enable_jit_checkpoint", NULL},
    {"eval_accumulation_steps", NULL},
    {"eval_do_concat_batches", "true"},
    {"eval_use_gather_object", NULL},
    {"fp16", NULL},
    {"fp16_backend", "auto"},
    {"fp16_full_eval", NULL},
    {"fp16_opt_level", "O1"},
    {"fsdp", NULL},
    {"fsdp_config", NULL},
    {"full_determinism", NULL},
    {"gradient_checkpointing_kwargs", NULL},
    {"half_precision_backend", "auto"},
    {"hub_always_push", NULL},
    {"hub_model_id", NULL},
    {"hub_private_repo", NULL},
    {"hub_revision", NULL},
    {"hub_strategy", "every_save"},
    {"hub_token", "<HUB_TOKEN>"},
    {"ignore_data_skip", NULL},
    {"include_for_metrics", NULL},
    {"include_inputs_for_metrics", NULL},
    {"include_num_input_tokens_seen", "no"},
    {"include_tokens_per_second", "no"},
    {"jit_mode_eval", NULL},
    {"label_names", NULL},
    {"length_column_name", "length"},
    {"liger_kernel_config", NULL},
    {"local_rank", "-1"},
    {"log_level", "passive"},
    {"log_level_replica", "warning"},
    {"log_on_each_node", "true"},
    {"logging_nan_inf_filter", "true"},
    {"mp_parameters", NULL},
    {"neftune_noise_alpha", NULL},
    {"no_cuda", ANY_VALUE},
    {"optim_args", NULL},
    {"optim_target_modules", NULL},
    {"parallelism_config", NULL},
    {"past_index", "-1"},
    {"prediction_loss_only", NULL},
    {"project", "huggingface"},
    {"push_to_hub", NULL},
    {"push_to_hub_model_id", NULL},
    {"push_to_hub_organization", NULL},
    {"push_to_hub_token", "<PUSH_TO_HUB_TOKEN>"},
    {"ray_scope", NULL},
    {"remove_unused_columns", "true"},
    {"restore_callback_states_from_checkpoint", NULL},
    {"run_name", ANY_VALUE},
    {"save_on_each_node", NULL},
    {"save_safetensors", "true"},
    {"skip_memory_metrics", "true"},
    {"tf32", NULL},
    {"torch_compile", NULL},
    {"torch_compile_backend", NULL},
    {"torch_compile_mode", NULL},
    {"torch_empty_cache_steps", NULL},
    {"torchdynamo", NULL},
    {"tpu_metrics_debug", NULL},
    {"tpu_num_cores", NULL},
    {"trackio_bucket_id", NULL},
    {"trackio_space_id", NULL},
    {"trackio_static_space_id", NULL},
    {"use_cache", NULL},
    {"use_cpu", ANY_VALUE},
    {"use_ipex", NULL},
    {"use_legacy_prediction_loop", NULL},
    {"use_liger_kernel", NULL},
    {"use_mps_device", NULL},
    {0},
};

// Whether the field has the value that it has when nobody has set it, or one that asks for nothing.
static bool is_usual(const ignored_field *ignored, const cJSON *field) {
    bool is_empty = (cJSON_IsArray(field) || cJSON_IsObject(field)) && cJSON_GetArraySize(field) == 0;
    if (cJSON_IsFalse(field) || is_empty) return true;
    if (!ignored->usual) return false;
    char *text = ftc_json_text(field);
    bool same = strcmp(ignored->usual, ANY_VALUE) == 0 || (text && strcmp(text, ignored->usual) == 0);
    free(text);
    return same;
}

static const ignored_field *ignored_field_find(const char *name) {
    for (const ignored_field *field = IGNORED; field->name; field++) {
        if (strcmp(field->name, name) == 0) return field;
    }
    return NULL;
}

// Adds a name to a list of them, "fp16, push_to_hub".
static void add_name(char **names, const char *name) {
    char *longer = ftc_format("%s%s%s", *names ? *names : "", *names ? ", " : "", name);
    free(*names);
    *names = longer;
}

// Of report_to, one name or a list: those that the option does not know are services, named as ignored.
static void apply_report_to(const cJSON *field, const ftc_option *option, void *target, char **ignored) {
    char why[160];
    bool is_list = cJSON_IsArray(field);
    ftc_option_set(option, target, "none", why, sizeof why);
    for (const cJSON *entry = is_list ? field->child : field; entry; entry = is_list ? entry->next : NULL) {
        char *name = ftc_json_text(entry);
        if (!name || !ftc_option_set(option, target, name, why, sizeof why)) {
            char *shown = ftc_format("report_to%s%s", name ? " " : "", name ? name : "");
            add_name(ignored, shown);
            free(shown);
        }
        free(name);
    }
}

static bool apply_field(const ftc_command *self, const char *path, const cJSON *field,
                        const ftc_option_group *groups, ftc_text_list *owned, char **ignored) {
    const ftc_option *option;
    const ftc_option_group *group;
    if (cJSON_IsNull(field)) return true; // the default, also of a field that only other versions have
    const ignored_field *meaningless = ignored_field_find(field->string);
    if (meaningless) {
        if (!is_usual(meaningless, field)) add_name(ignored, field->string);
        return true;
    }
    if (strcmp(field->string, "lr_scheduler_kwargs") == 0 && cJSON_IsObject(field)) {
        const cJSON *entry; // num_cycles, power, lr_end, …: options that begin with "schedule-"
        cJSON_ArrayForEach(entry, field) {
            bool is_known = ftc_cli_find(groups, entry->string, &option, &group) &&
                            strncmp(option->name, "schedule-", strlen("schedule-")) == 0;
            if (!is_known) {
                ftc_cli_error(self->name, "%s: lr_scheduler_kwargs: \"%s\" is not supported", path,
                              entry->string);
                return false;
            }
            if (!apply_field(self, path, entry, groups, owned, ignored)) return false;
        }
        return true;
    }
    if (!ftc_cli_find(groups, field->string, &option, &group)) {
        const char *near = ftc_cli_nearest_option(groups, field->string);
        ftc_cli_error(self->name, "%s: unknown field \"%s\"%s%s%s", path, field->string,
                      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        return false;
    }
    if (strcmp(option->name, "report-to") == 0) {
        apply_report_to(field, option, group->target, ignored);
        return true;
    }
    char *text = ftc_json_text(field), why[160];
    if (!text) {
        ftc_cli_error(self->name, "%s: \"%s\" is a list or an object; a single value is expected", path,
                      field->string);
        return false;
    }
    ftc_text_list_add(owned, text);
    bool ok = ftc_option_set(option, group->target, text, why, sizeof why);
    if (!ok) ftc_cli_error(self->name, "%s: \"%s\": %s: %s", path, field->string, text, why);
    return ok;
}

static bool apply_args(const ftc_command *self, const char *path, const ftc_option_group *groups,
                       ftc_text_list *owned) {
    cJSON *json;
    ftc_status status = ftc_json_read(path, &json);
    if (status.code != FTC_OK) {
        ftc_status_report(self->name, status);
        return false;
    }
    bool ok = true;
    const cJSON *field;
    char *ignored = NULL;
    cJSON_ArrayForEach(field, json) ok = ok && apply_field(self, path, field, groups, owned, &ignored);
    if (ok && ignored) fprintf(stderr, "%s: without meaning here, ignored: %s\n", path, ignored);
    free(ignored);
    cJSON_Delete(json);
    return ok;
}

// --- all together -------------------------------------------------------------------------------------

// The option of the command line that asks for evaluations; NULL: none does. A model's train block may: its
// test rows went when --train took the place of its data.
static const char *asks_for_tests(const ftc_text_list *given, const ftc_train_options *o) {
    static const char *const BY_STRATEGY[] = {"eval-strategy", "eval-steps", "eval-delay"};
    for (size_t i = 0; i < sizeof BY_STRATEGY / sizeof *BY_STRATEGY && o->eval_strategy != FTC_WHEN_NO; i++)
        if (ftc_text_list_has(given, BY_STRATEGY[i])) return BY_STRATEGY[i];
    return o->eval_on_start && ftc_text_list_has(given, "eval-on-start") ? "eval-on-start" : NULL;
}

// Refuses what the command line or --args says of test rows where there are none.
static bool check_tests(const ftc_command *self, const ftc_text_list *given, const ftc_run_options *o) {
    const ftc_train_options *train = &o->run.train;
    if (!o->data.test && ftc_text_list_has(given, "select-test")) {
        ftc_cli_error(self->name,
                      "--select-test takes the first rows of a file of test rows: give --test FILE%s",
                      o->data.split_test > 0 ? "; --split-test N says itself how many there are" : "");
        return false;
    }
    if (o->data.test || o->data.split_test > 0) return true;
    const char *asking = asks_for_tests(given, train);
    if (asking) {
        ftc_cli_error(self->name,
                      "--%s: there are no test rows to evaluate on; give --test FILE or --split-test N",
                      asking);
        return false;
    }
    if (!o->run.args || (train->eval_strategy == FTC_WHEN_NO && !train->eval_on_start)) return true;
    ftc_cli_error(self->name, "%s: %s needs data to evaluate on: give --test or --split-test", o->run.args,
                  train->eval_strategy != FTC_WHEN_NO ? "eval_strategy" : "eval_on_start");
    return false;
}

// Tells of options of the command line that nothing reads for lack of another.
static void tell_unread(const ftc_text_list *given, const ftc_train_options *o) {
    const struct {
        const char *name;
        bool is_read;
        const char *by;
    } options[] = {
        {"logging-steps", o->logging_strategy == FTC_WHEN_STEPS, "--logging-strategy steps"},
        {"eval-steps", o->eval_strategy == FTC_WHEN_STEPS, "--eval-strategy steps"},
        {"eval-delay", o->eval_strategy != FTC_WHEN_NO, "--eval-strategy steps or epoch"},
        {"save-steps", o->save_strategy == FTC_WHEN_STEPS, "--save-strategy steps"},
        {"early-stopping-threshold", o->patience > 0, "--early-stopping-patience N"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!options[i].is_read && ftc_text_list_has(given, options[i].name))
            fprintf(stderr, "--%s changes nothing without %s\n", options[i].name, options[i].by);
}

// What follows from several options at once.
static void settle(const ftc_model_candidate *c, ftc_run_options *o) {
    ftc_train_options *train = &o->run.train;
    if (o->run.group_by_length) train->sampling = FTC_SAMPLING_GROUP_BY_LENGTH;
    if (o->run.no_shuffle) train->sampling = FTC_SAMPLING_SEQUENTIAL;
    const char *from = o->run.resume_from;
    if (o->run.resume || (from && strcmp(from, "true") == 0)) {
        train->resume = "last";
    } else if (from && strcmp(from, "false") != 0) {
        train->resume = from;
    }
    if (!o->data.tokenizer && c->pretrained) o->data.tokenizer = own(&o->owned, c->pretrained);
    if (o->run.gradient_checkpointing && !o->model.memory) o->model.memory = "least";
    if (o->run.bf16) o->model.precision = FTC_PRECISION_BF16;
    if (o->run.report_to && !o->run.logging_dir) o->run.logging_dir = getenv("TENSORBOARD_LOGGING_DIR");
    if (c->batch) o->model.batch = train->batch; // the most that the program is compiled for
    o->data.max_length = o->model.max_length;
}

bool ftc_run_options_resolve(const ftc_command *self, int argc, char **argv, const ftc_model_candidate *c,
                             ftc_run_options *options) {
    const char *args = options->run.args;
    bool own_data = options->data.train != NULL, trusted = options->run.trust_model;
    bool own_tokenizer = options->data.tokenizer != NULL, is_silent = options->data.is_silent;
    ftc_option_group groups[FTC_RUN_OPTION_GROUPS];
    ftc_run_option_groups(options, groups);
    ftc_model_options model = options->model;
    ftc_model_options_again(&model);
    *options = defaults(args != NULL);
    options->model = model;
    options->data.is_silent = is_silent;
    if (!apply_train_block(self, c, !own_data, !own_tokenizer, !args, trusted, groups, &options->owned))
        return false;
    if (args && !apply_args(self, args, groups, &options->owned)) return false;
    ftc_text_list positional = {0}, given = {0};
    bool ok = ftc_cli_parse_given(self, groups, argc, argv, &positional, &given) == FTC_CLI_OK &&
              check_tests(self, &given, options);
    if (ok) settle(c, options);
    if (ok && !is_silent) tell_unread(&given, &options->run.train);
    ftc_text_list_free(&positional);
    ftc_text_list_free(&given);
    return ok;
}
