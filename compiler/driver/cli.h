// The command line: tables of options, shared by the commands, and one parser for them.
//
// A table describes the fields of a structure; a command hands the parser the groups that it understands,
// each with the structure to fill. The same tables read a TrainingArguments file and a model's `train` block,
// through ftc_option_set and the options' second names.
#ifndef FTC_DRIVER_CLI_H
#define FTC_DRIVER_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the field at `offset` is.
typedef enum {
    FTC_OPTION_FLAG,        // bool: --name, --name=true, --name=false
    FTC_OPTION_TEXT,        // const char *
    FTC_OPTION_ROWS,        // const char *, a file of rows, once: of two, one would be lost
    FTC_OPTION_CHOICE,      // int32_t: the place of the value in the alternatives that `value` lists
                            // ("no|steps|epoch")
    FTC_OPTION_INT,         // int64_t, from `least` to 2³¹ - 1
    FTC_OPTION_SEED,        // int64_t, from `least` to 2⁵³ - 1: JSON holds these exactly
    FTC_OPTION_NUMBER,      // double, from `least` to the largest float; 0 or what a float tells from it
    FTC_OPTION_STEPS,       // double, from `least` to 2³¹ - 1; below 1 a fraction of all
    FTC_OPTION_SHARE,       // double, from 0 to 1
    FTC_OPTION_PROBABILITY, // double, from 0 to less than 1, as a float too
    FTC_OPTION_LIST,        // ftc_text_list: the option may be repeated
} ftc_option_kind;

typedef struct {
    const char **items;
    size_t n;
} ftc_text_list;

typedef struct {
    const char *name;  // "max-length"; written --max-length or --max_length
    const char *alias; // second name, Hugging Face's where there is one ("learning_rate"), or NULL
    ftc_option_kind kind;
    size_t offset;     // of the field in the group's target
    const char *value; // what the help calls the value: "N", "DIR"; NULL for a flag
    double least;      // smallest valid INT or NUMBER
    const char *help;  // one line
} ftc_option;

// A table and the structure that it fills. A group ends its array with options = NULL.
typedef struct {
    const char *title;         // heading in the help
    const ftc_option *options; // ends with name = NULL
    void *target;
} ftc_option_group;

// One subcommand: a line of the table in main.c. `run` gets its own line, argv[0] is the command's name; it
// returns the exit status.
typedef struct ftc_command ftc_command;
struct ftc_command {
    const char *name;
    int (*run)(const ftc_command *self, int argc, char **argv);
    const char *summary; // one line
    const char *usage;   // "ftc NAME ...", what it takes
};

typedef enum { FTC_CLI_OK, FTC_CLI_HELP, FTC_CLI_ERROR } ftc_cli_result;

// The exit statuses of `ftc`.
enum { FTC_EXIT_OK = 0, FTC_EXIT_FAILED = 1, FTC_EXIT_USAGE = 2 };

// Reads the options of `argv[1…]` into the groups' targets and collects everything else in `positional`.
// The texts point into argv; lists are emptied first, so parsing the same argv again gives the same result.
// Prints the help (--help) or a diagnostic and returns FTC_CLI_HELP or FTC_CLI_ERROR when the command should
// end.
ftc_cli_result ftc_cli_parse(const ftc_command *command, const ftc_option_group *groups, int argc,
                             char **argv, ftc_text_list *positional);

// The same, which also collects the first names of the options that are given.
ftc_cli_result ftc_cli_parse_given(const ftc_command *command, const ftc_option_group *groups, int argc,
                                   char **argv, ftc_text_list *positional, ftc_text_list *given);

// The command's exit status when parsing did not return FTC_CLI_OK.
int ftc_cli_exit(ftc_cli_result result);

// Finds the option called `name` (either name, '-' and '_' alike) and its group; false when there is none.
bool ftc_cli_find(const ftc_option_group *groups, const char *name, const ftc_option **option,
                  const ftc_option_group **group);

// Sets the option's field from text. On failure fills `why` (at least 160 bytes) with what was expected.
bool ftc_option_set(const ftc_option *option, void *target, const char *text, char *why, size_t why_bytes);

// The fields of a group as one JSON object, in the order of its table: under the second names of the options,
// else the first with '_'; what lies below an option's least value, and a text that is not set, as null.
// Allocated.
char *ftc_option_group_json(const ftc_option_group *group);

// The option's first or second name nearest to `name`, or NULL when none is near.
const char *ftc_cli_nearest_option(const ftc_option_group *groups, const char *name);

// Writes lines to standard error, hidden characters escaped: at once, since several processes may write into
// one stream.
void ftc_cli_tell(const char *text);

// Prints "ftc COMMAND: message" to standard error; returns FTC_EXIT_USAGE.
int ftc_cli_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool ftc_text_list_has(const ftc_text_list *list, const char *text);
void ftc_text_list_add(ftc_text_list *list, const char *text);
void ftc_text_list_free(ftc_text_list *list);

#endif
