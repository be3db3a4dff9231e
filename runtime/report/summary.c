#include "runtime/report/summary.h"

#include "ir/base/alloc.h"
#include "runtime/files.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// --- the files ----------------------------------------------------------------------------------------

typedef ftc_status writer(const ftc_summary *summary, FILE *out);

static ftc_status write_card(const ftc_summary *summary, FILE *out) {
    ftc_card_write(summary, out);
    return FTC_STATUS_OK;
}

static ftc_status write_file(const ftc_summary *summary, writer *write, const char *dir, const char *name) {
    ftc_text written;
    size_t bytes;
    char *path = ftc_path_join(dir, name);
    ftc_status status = write(summary, ftc_text_open(&written));
    char *text = ftc_text_close(&written, &bytes);
    if (status.code == FTC_OK) status = ftc_file_write(path, text, bytes);
    free(text);
    free(path);
    return status;
}

ftc_status ftc_summary_save(const ftc_summary *summary, bool with_report) {
    const char *output = summary->options->output;
    char *place = ftc_path_join(output, "summary"), *temporary;
    ftc_status status = ftc_dir_begin(place, &temporary);
    free(place);
    if (status.code != FTC_OK) return status;
    status = write_file(summary, write_card, temporary, "README.md");
    if (status.code == FTC_OK && with_report)
        status = write_file(summary, ftc_report_write, temporary, "report.html");
    return ftc_dir_end(status, temporary, ftc_dir_merge, output);
}

// --- what was evaluated -------------------------------------------------------------------------------

const ftc_evaluation *ftc_summary_evaluation(const ftc_summary *s) {
    return s->result->evaluation_step >= 0 ? &s->result->evaluation : NULL;
}

const char *ftc_summary_label(const ftc_summary *s, int64_t label, char number[static 24]) {
    const ftc_labels *l = s->labels;
    if (l->names && label < l->count && l->names[label]) return l->names[label];
    snprintf(number, 24, "%lld", (long long)label);
    return number;
}

const char *ftc_summary_row(const ftc_summary *s, const ftc_evaluation *e, int64_t row,
                            char number[static 24]) {
    return e->types ? e->types[row] : ftc_summary_label(s, row, number);
}

// --- names --------------------------------------------------------------------------------------------

char *ftc_summary_base_name(const char *path) {
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    char *name = end > start ? ftc_strndup(path + start, end - start) : ftc_strdup("model");
    return name;
}

void ftc_summary_title(const char *metric, char *title, size_t bytes) {
    static const char prefix[] = "eval_";
    if (strncmp(metric, prefix, sizeof prefix - 1) == 0) metric += sizeof prefix - 1;
    size_t n = 0;
    for (bool starts = true; *metric && n + 1 < bytes; metric++) {
        title[n++] = *metric == '_' ? ' ' : starts ? (char)toupper((unsigned char)*metric) : *metric;
        starts = *metric == '_';
    }
    title[n] = '\0';
}

// --- the log ------------------------------------------------------------------------------------------

const cJSON *ftc_summary_next_evaluation(const cJSON *line) {
    while (line && !cJSON_HasObjectItem(line, "eval_loss")) line = line->next;
    return line;
}

double ftc_summary_value(const cJSON *line, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(line, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

bool ftc_summary_is_score(const cJSON *entry) {
    static const char *const OTHERS[] = {"eval_loss", "eval_samples", "eval_runtime"}, *const ENDS[] = {
                                                                                           "_per_second",
                                                                                           "_macro", "_micro",
                                                                                           "_weighted"};
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const char *name = entry->string;
    if (strncmp(name, "eval_", 5) != 0 || !cJSON_IsNumber(entry) || !isfinite(entry->valuedouble))
        return false;
    if (name[strspn(name, LETTERS)]) return false; // in the log of a run that is resumed
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        if (strcmp(name, OTHERS[i]) == 0) return false;
    }
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++) {
        size_t n = strlen(name), m = strlen(ENDS[i]);
        if (n > m && strcmp(name + n - m, ENDS[i]) == 0) return false;
    }
    return true;
}

// --- hyperparameters ----------------------------------------------------------------------------------

static const char *train_setting(const ftc_program *program, const char *name) {
    for (int32_t i = 0; i < program->n_train; i++) {
        if (strcmp(program->train[i].name, name) == 0) return program->train[i].text;
    }
    return NULL;
}

// An option that may be left to the optimizer: as given, else the default of the program's step argument
// `name`; NaN when the program takes none of this name.
static double argument(const ftc_program *program, const char *name, double given) {
    for (int32_t i = 0; i < program->n_scalars; i++) {
        if (strcmp(program->scalars[i].name, name) == 0)
            return given >= 0 ? given : program->scalars[i].value;
    }
    return NAN;
}

static void tell_number(ftc_summary_fact *tell, void *context, const char *name, double value) {
    char text[40];
    snprintf(text, sizeof text, "%.10g", value);
    tell(context, name, text);
}

static void tell_optimizer(const ftc_summary *s, ftc_summary_fact *tell, void *context) {
    const ftc_train_options *o = s->options;
    const char *name = train_setting(s->program, "optimizer");
    double beta1 = argument(s->program, "beta1", o->beta1), beta2 = argument(s->program, "beta2", o->beta2);
    double eps = argument(s->program, "eps", o->eps),
           momentum = argument(s->program, "momentum", o->momentum);
    char text[200], *at = text, *end = text + sizeof text;
    at += snprintf(at, (size_t)(end - at), "%s", name ? name : "adamw");
    if (!isnan(beta1)) at += snprintf(at, (size_t)(end - at), " with betas=(%g,%g)", beta1, beta2);
    if (!isnan(eps)) at += snprintf(at, (size_t)(end - at), " and epsilon=%g", eps);
    if (!isnan(momentum)) snprintf(at, (size_t)(end - at), " with momentum=%g", momentum);
    tell(context, "optimizer", text);
}

// The word number `index` of "linear|cosine|…".
static void choice(const char *names, int32_t index, char *word, size_t bytes) {
    for (; index > 0 && *names; names++) index -= *names == '|';
    snprintf(word, bytes, "%.*s", (int)strcspn(names, "|"), names);
}

void ftc_summary_hyperparameters(const ftc_summary *s, ftc_summary_fact *tell, void *context) {
    const ftc_train_options *o = s->options;
    char schedule[64];
    choice(FTC_SCHEDULE_NAMES, o->schedule, schedule, sizeof schedule);
    tell_number(tell, context, "learning_rate", o->lr);
    tell_number(tell, context, "train_batch_size", (double)o->batch);
    tell_number(tell, context, "eval_batch_size", (double)ftc_train_eval_batch(o, s->program));
    tell_number(tell, context, "seed", (double)o->seed);
    if (o->data_seed >= 0) tell_number(tell, context, "data_seed", (double)o->data_seed);
    if (o->accumulation > 1) {
        tell_number(tell, context, "gradient_accumulation_steps", (double)o->accumulation);
        tell_number(tell, context, "total_train_batch_size", (double)(o->batch * o->accumulation));
    }
    tell_optimizer(s, tell, context);
    tell_number(tell, context, "weight_decay", argument(s->program, "weight_decay", o->weight_decay));
    tell(context, "lr_scheduler_type", schedule);
    if (o->warmup_steps > 0) {
        tell_number(tell, context, "lr_scheduler_warmup_steps", o->warmup_steps);
    } else if (o->warmup_ratio > 0) {
        tell_number(tell, context, "lr_scheduler_warmup_ratio", o->warmup_ratio);
    }
    if (o->max_grad_norm > 0) tell_number(tell, context, "max_grad_norm", o->max_grad_norm);
    if (o->label_smoothing > 0) tell_number(tell, context, "label_smoothing_factor", o->label_smoothing);
    if (o->max_steps >= 0) {
        tell_number(tell, context, "training_steps", (double)o->max_steps);
    } else {
        tell_number(tell, context, "num_epochs", o->epochs);
    }
    if (s->max_length) tell_number(tell, context, "max_length", s->max_length);
    tell(context, "precision", s->program->precision);
}
