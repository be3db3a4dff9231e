#include "runtime/status.h"
#include "runtime/text/shown.h"

#include "ir/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// What a message quotes of files may hold anything. Takes `message`; NULL is allowed.
static char *one_line(char *message) {
    const char *c = message;
    while (c && *c >= ' ' && *c != 0x7f) c++; // plain ASCII
    if (!c || !*c) return message;
    char *shown = ftc_shown(message);
    free(message);
    return shown;
}

ftc_status ftc_status_make(ftc_status_code code, const char *format, ...) {
    ftc_status status = {code, NULL};
    va_list args;
    va_start(args, format);
    status.message = ftc_format_args(format, args);
    va_end(args);
    status.message = one_line(status.message);
    return status;
}

ftc_status ftc_status_annotate(ftc_status status, const char *format, ...) {
    if (status.code == FTC_OK) return status;
    va_list args;
    va_start(args, format);
    char *context = ftc_format_args(format, args), *message = ftc_format("%s: %s", context, status.message);
    va_end(args);
    free(context);
    free(status.message);
    status.message = one_line(message);
    return status;
}

void ftc_status_free(ftc_status *status) {
    free(status->message);
    *status = FTC_STATUS_OK;
}
