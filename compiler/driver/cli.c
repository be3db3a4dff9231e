#include "compiler/driver/cli.h"

#include "ir/base/alloc.h"
#include "ir/base/name.h"
#include "ir/diag.h"
#include "json/value.h"
#include "runtime/text/shown.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- names --------------------------------------------------------------------------------------------

static char fold(char c) {
    return c == '_' ? '-' : c;
}

static bool same_name(const char *a, const char *b) {
    while (*a && fold(*a) == fold(*b)) a++, b++;
    return !*a && !*b;
}

// A copy of `name` in which every '-' and '_' is `separator`.
static char *with_separator(const char *name, char separator) {
    char *copy = ftc_strdup(name);
    for (char *c = copy; *c; c++) {
        if (*c == '-' || *c == '_') *c = separator;
    }
    return copy;
}

const char *ftc_cli_nearest_option(const ftc_option_group *groups, const char *name) {
    enum { MOST = 256 };
    const char *names[MOST], *aliases[MOST];
    int n_names = 0, n_aliases = 0;
    for (const ftc_option_group *group = groups; group->options; group++) {
        for (const ftc_option *option = group->options; option->name; option++) {
            if (n_names < MOST) names[n_names++] = option->name;
            if (option->alias && n_aliases < MOST) aliases[n_aliases++] = option->alias;
        }
    }
    char *dashes = with_separator(name, '-'), *underscores = with_separator(name, '_');
    const char *nearest = ftc_name_nearest(dashes, names, n_names);
    if (!nearest) nearest = ftc_name_nearest(underscores, aliases, n_aliases);
    free(dashes);
    free(underscores);
    return nearest;
}

bool ftc_cli_find(const ftc_option_group *groups, const char *name, const ftc_option **option,
                  const ftc_option_group **group) {
    for (const ftc_option_group *g = groups; g->options; g++) {
        for (const ftc_option *o = g->options; o->name; o++) {
            if (same_name(o->name, name) || (o->alias && same_name(o->alias, name))) {
                *option = o;
                *group = g;
                return true;
            }
        }
    }
    return false;
}

// --- values -------------------------------------------------------------------------------------------

void ftc_text_list_add(ftc_text_list *list, const char *text) {
    const char **items = ftc_realloc(list->items, list->n + 1, sizeof *items);
    list->items = items;
    list->items[list->n++] = text;
}

bool ftc_text_list_has(const ftc_text_list *list, const char *text) {
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i], text) == 0) return true;
    return false;
}

void ftc_text_list_free(ftc_text_list *list) {
    free(list->items);
    *list = (ftc_text_list){NULL, 0};
}

// The place of `text` among the alternatives "a|b|c", -1 when it is none of them.
static int32_t place_among(const char *alternatives, const char *text) {
    size_t n = strlen(text);
    int32_t place = 0;
    for (const char *at = alternatives; at; place++) {
        if (strncmp(at, text, n) == 0 && (at[n] == '|' || at[n] == '\0')) return place;
        at = strchr(at, '|');
        if (at) at++;
    }
    return -1;
}

// The largest valid value of an option.
static double most_of(ftc_option_kind kind) {
    switch (kind) {
    case FTC_OPTION_SEED: return 9007199254740991.0;
    case FTC_OPTION_NUMBER: return FLT_MAX;
    case FTC_OPTION_SHARE:
    case FTC_OPTION_PROBABILITY: return 1;
    default: return INT32_MAX;
    }
}

// Whether a number lies within the option's bounds; if not, says what they are.
static bool is_within(const ftc_option *option, double value, char *why, size_t why_bytes) {
    if (value < option->least) {
        snprintf(why, why_bytes, "expected at least %.17g", option->least);
    } else if (option->kind == FTC_OPTION_PROBABILITY && (float)value >= 1) {
        snprintf(why, why_bytes, "expected less than 1");
    } else if (option->kind == FTC_OPTION_NUMBER && value != 0 && (float)value == 0) {
        snprintf(why, why_bytes, "expected 0, or at least %.2g", (double)FLT_TRUE_MIN);
    } else if (value > most_of(option->kind)) {
        snprintf(why, why_bytes, "expected at most %.16g", most_of(option->kind));
    } else {
        return true;
    }
    return false;
}

bool ftc_option_set(const ftc_option *option, void *target, const char *text, char *why, size_t why_bytes) {
    char *field = (char *)target + option->offset, *end;
    switch (option->kind) {
    case FTC_OPTION_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            snprintf(why, why_bytes, "expected true or false");
            return false;
        }
        *(bool *)field = strcmp(text, "true") == 0;
        return true;
    case FTC_OPTION_TEXT:
    case FTC_OPTION_ROWS: *(const char **)field = text; return true;
    case FTC_OPTION_CHOICE: {
        int32_t place = place_among(option->value, text);
        if (place < 0) {
            snprintf(why, why_bytes, "expected %s", option->value);
            return false;
        }
        *(int32_t *)field = place;
        return true;
    }
    case FTC_OPTION_INT:
    case FTC_OPTION_SEED: {
        long long value = strtoll(text, &end, 10); // beyond its range, the end of it
        if (end == text || *end) {
            snprintf(why, why_bytes, "expected an integer");
            return false;
        }
        if (!is_within(option, (double)value, why, why_bytes)) return false;
        *(int64_t *)field = value;
        return true;
    }
    case FTC_OPTION_NUMBER:
    case FTC_OPTION_STEPS:
    case FTC_OPTION_SHARE:
    case FTC_OPTION_PROBABILITY: {
        double value;
        bool fits = ftc_name_number(text, &end, &value), is_number = end != text && !*end && !isnan(value);
        if (!is_number || !fits) {
            snprintf(why, why_bytes, "expected a number%s", is_number ? " that 64 bits hold" : "");
            return false;
        }
        if (!is_within(option, value, why, why_bytes)) return false;
        *(double *)field = value;
        return true;
    }
    case FTC_OPTION_LIST: ftc_text_list_add((ftc_text_list *)field, text); return true;
    }
    return false;
}

static cJSON *value_of(const ftc_option *option, const void *target) {
    const char *field = (const char *)target + option->offset;
    switch (option->kind) {
    case FTC_OPTION_FLAG: return cJSON_CreateBool(*(const bool *)field);
    case FTC_OPTION_TEXT:
    case FTC_OPTION_ROWS: {
        const char *text = *(const char *const *)field;
        return text ? cJSON_CreateString(text) : cJSON_CreateNull();
    }
    case FTC_OPTION_CHOICE: {
        const char *word = option->value;
        for (int32_t i = *(const int32_t *)field; i > 0; word++) i -= *word == '|';
        char *copy = ftc_strndup(word, strcspn(word, "|"));
        cJSON *value = cJSON_CreateString(copy);
        free(copy);
        return value;
    }
    case FTC_OPTION_LIST: {
        const ftc_text_list *list = (const ftc_text_list *)field;
        return cJSON_CreateStringArray(list->items, (int)list->n);
    }
    case FTC_OPTION_INT:
    case FTC_OPTION_SEED: {
        int64_t number = *(const int64_t *)field;
        return (double)number < option->least ? cJSON_CreateNull() : cJSON_CreateNumber((double)number);
    }
    default: {
        double number = *(const double *)field;
        return number < option->least ? cJSON_CreateNull() : cJSON_CreateNumber(number);
    }
    }
}

char *ftc_option_group_json(const ftc_option_group *group) {
    cJSON *json = cJSON_CreateObject();
    for (const ftc_option *option = group->options; option->name; option++) {
        char *name = option->alias ? ftc_strdup(option->alias) : with_separator(option->name, '_');
        cJSON_AddItemToObject(json, name, value_of(option, group->target));
        free(name);
    }
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    return text;
}

// --- messages -----------------------------------------------------------------------------------------

void ftc_cli_tell(const char *text) {
    ftc_text shown;
    FILE *out = ftc_text_open(&shown);
    ftc_shown_write(out, text, strlen(text), false);
    size_t bytes;
    char *written = ftc_text_close(&shown, &bytes);
    fwrite(written, 1, bytes, stderr);
    free(written);
}

int ftc_cli_error(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = ftc_format_args(format, args);
    va_end(args);
    char *line = ftc_format("ftc %s: %s\n", command, text);
    ftc_cli_tell(line);
    free(line);
    free(text);
    return FTC_EXIT_USAGE;
}

static void print_help(const ftc_command *command, const ftc_option_group *groups) {
    printf("usage: %s\n%s\n", command->usage, command->summary);
    for (const ftc_option_group *group = groups; group->options; group++) {
        printf("\n%s:\n", group->title);
        for (const ftc_option *option = group->options; option->name; option++) {
            char left[160];
            snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "",
                     option->value ? option->value : "");
            printf(strlen(left) < 28 ? "  %-28s %s" : "  %s\n                               %s", left,
                   option->help);
            if (option->alias) printf(" [%s]", option->alias);
            putchar('\n');
        }
    }
}

int ftc_cli_exit(ftc_cli_result result) {
    return result == FTC_CLI_HELP ? FTC_EXIT_OK : FTC_EXIT_USAGE;
}

// --- the parser ---------------------------------------------------------------------------------------

// Whether the option may be given behind those that have been.
static bool may_be_given(const ftc_command *command, const ftc_option *option, const char *text,
                         const ftc_text_list *given) {
    if (option->kind != FTC_OPTION_ROWS || !ftc_text_list_has(given, option->name)) return true;
    ftc_cli_error(command->name,
                  "--%s is given twice, at last with %s: one file is read; join them, as by --%s <(cat "
                  "a.jsonl b.jsonl) --format json",
                  option->name, text, option->name);
    return false;
}

// One argument "--name", "--name=value" or "--name value"; advances `i` over a separate value.
static bool parse_option(const ftc_command *command, const ftc_option_group *groups, int argc, char **argv,
                         ftc_text_list *given, int *i) {
    char *argument = argv[*i];
    char *equals = strchr(argument, '=');
    char *name = ftc_strndup(argument + 2, equals ? (size_t)(equals - argument - 2) : strlen(argument + 2));
    const ftc_option *option;
    const ftc_option_group *group;
    char why[160];
    bool ok = false;
    if (!ftc_cli_find(groups, name, &option, &group)) {
        const char *near = ftc_cli_nearest_option(groups, name);
        ftc_cli_error(command->name, "unknown option --%s%s%s%s; see ftc %s --help", name,
                      near ? "; did you mean --" : "", near ? near : "", near ? "?" : "", command->name);
    } else if (!equals && option->kind == FTC_OPTION_FLAG) {
        *(bool *)((char *)group->target + option->offset) = true;
        ok = true;
    } else if (!equals && *i + 1 >= argc) {
        ftc_cli_error(command->name, "--%s needs a value: --%s %s", name, name, option->value);
    } else {
        const char *text = equals ? equals + 1 : argv[++*i];
        if (may_be_given(command, option, text, given)) {
            ok = ftc_option_set(option, group->target, text, why, sizeof why);
            if (!ok) ftc_cli_error(command->name, "--%s %s: %s", name, text, why);
        }
    }
    if (ok) ftc_text_list_add(given, option->name);
    free(name);
    return ok;
}

ftc_cli_result ftc_cli_parse_given(const ftc_command *command, const ftc_option_group *groups, int argc,
                                   char **argv, ftc_text_list *positional, ftc_text_list *given) {
    positional->n = given->n = 0;
    for (const ftc_option_group *group = groups; group->options; group++) {
        for (const ftc_option *option = group->options; option->name; option++) {
            if (option->kind == FTC_OPTION_LIST) {
                ((ftc_text_list *)((char *)group->target + option->offset))->n = 0;
            }
        }
    }
    bool options_end = false;
    for (int i = 1; i < argc; i++) {
        if (options_end || strncmp(argv[i], "-", 1) != 0 || strcmp(argv[i], "-") == 0) {
            ftc_text_list_add(positional, argv[i]);
        } else if (strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(command, groups);
            return FTC_CLI_HELP;
        } else if (strcmp(argv[i], "-o") == 0) { // the one short option: ftc compile X.ir -o Y.ftc
            argv[i] = (char *)"--output";
            i--;
        } else if (argv[i][1] != '-') {
            ftc_cli_error(command->name, "unknown option %s; options are written --name, see ftc %s --help",
                          argv[i], command->name);
            return FTC_CLI_ERROR;
        } else if (!parse_option(command, groups, argc, argv, given, &i)) {
            return FTC_CLI_ERROR;
        }
    }
    return FTC_CLI_OK;
}

ftc_cli_result ftc_cli_parse(const ftc_command *command, const ftc_option_group *groups, int argc,
                             char **argv, ftc_text_list *positional) {
    ftc_text_list given = {0};
    ftc_cli_result result = ftc_cli_parse_given(command, groups, argc, argv, positional, &given);
    ftc_text_list_free(&given);
    return result;
}
