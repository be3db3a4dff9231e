// The subcommands of `ftc`, one file each; main.c lists them with their summaries.
#ifndef FTC_DRIVER_COMMANDS_H
#define FTC_DRIVER_COMMANDS_H

#include "compiler/driver/cli.h"

int ftc_command_bench(const ftc_command *self, int argc, char **argv);
int ftc_command_compile(const ftc_command *self, int argc, char **argv);
int ftc_command_inspect(const ftc_command *self, int argc, char **argv);
int ftc_command_explain(const ftc_command *self, int argc, char **argv);
int ftc_command_opt(const ftc_command *self, int argc, char **argv);
int ftc_command_eval(const ftc_command *self, int argc, char **argv);
int ftc_command_predict(const ftc_command *self, int argc, char **argv);
int ftc_command_run(const ftc_command *self, int argc, char **argv);
int ftc_command_tokenize(const ftc_command *self, int argc, char **argv);
int ftc_command_verify(const ftc_command *self, int argc, char **argv);
int ftc_command_view(const ftc_command *self, int argc, char **argv);

#endif
