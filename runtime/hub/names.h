// How files of Hugging Face name the parameters of a program: what the family block of its model says
// (docs/language.md). What is not of the head is of the encoder; without a block, everything is.
#ifndef FTC_RUNTIME_NAMES_H
#define FTC_RUNTIME_NAMES_H

#include "ir/step_abi.h"

#include <stdbool.h>

// An entry of the family block: that of the program's task, else the one for every task; "" when there is
// none.
const char *ftc_family_text(const ftc_program *program, const char *name);

bool ftc_family_in_head(const ftc_program *program, const char *parameter);

// Whether a file of weights may lack this parameter of the encoder.
bool ftc_family_may_lack(const ftc_program *program, const char *parameter);

// What a parameter or a tensor of a file is called among files and programs of the family: without the
// prefix, by its present name where it has an older one. Allocated.
char *ftc_family_name(const ftc_program *program, const char *name);

#endif
