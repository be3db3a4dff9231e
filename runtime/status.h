// The result of a runtime function: success, or what went wrong, where, and what to do about it.
//
// Every runtime function that can fail returns an ftc_status. The message is one line without a newline, made
// for the user ("reviews.csv:17: the row has 2 fields, the header has 3"); only the driver prints it.
#ifndef FTC_RUNTIME_STATUS_H
#define FTC_RUNTIME_STATUS_H

typedef enum {
    FTC_OK = 0,
    FTC_BAD_INPUT,   // wrong usage or bad input: a file, a flag, a shape, a label (exit status 2)
    FTC_FAILED,      // the run itself failed, as when the loss is not finite (exit status 1)
    FTC_INTERRUPTED, // a signal ended the run, in all processes after the same step (exit status 1)
} ftc_status_code;

// Owned by the caller. `message` is allocated, NULL when the code is FTC_OK.
typedef struct {
    ftc_status_code code;
    char *message;
} ftc_status;

#define FTC_STATUS_OK ((ftc_status){FTC_OK, 0})

// A status with a formatted message (printf's conversions), in which hidden characters are shown escaped
// (ftc_shown). If memory is exhausted the message is NULL.
ftc_status ftc_status_make(ftc_status_code code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Puts "context: " in front of the message of a failed status; takes `status` and returns it.
ftc_status ftc_status_annotate(ftc_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Frees the message and resets `status` to FTC_OK.
void ftc_status_free(ftc_status *status);

// Returns from the enclosing function when `expr` failed.
#define FTC_RETURN_IF_ERROR(expr)                                                                            \
    do {                                                                                                     \
        ftc_status ftc_status_tmp_ = (expr);                                                                 \
        if (ftc_status_tmp_.code != FTC_OK) return ftc_status_tmp_;                                          \
    } while (0)

#endif
