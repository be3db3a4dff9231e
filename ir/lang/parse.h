// From .ir text to a graph: models as people write them, and every dump that ir/print.h makes of one.
#ifndef FTC_PARSE_H
#define FTC_PARSE_H

#include "ir/diag.h"
#include "ir/graph.h"

// Where a value from outside belongs.
typedef enum {
    FTC_OVERRIDE_CONFIG,        // an entry of the config block, which must be there
    FTC_OVERRIDE_OPTIONAL,      // the same, skipped where the model has no such entry
    FTC_OVERRIDE_ROLE,          // the entry of the config block that has the role `name`, which must be there
    FTC_OVERRIDE_OPTIONAL_ROLE, // the same, skipped where the model has no such entry
    FTC_OVERRIDE_TRAIN,         // an entry of the train block, added where there is none
    FTC_OVERRIDE_FAMILY,        // an entry of the family block, which must be there
} ftc_override_kind;

// A value for an entry of the model's config or train block, instead of the one in the text. Later ones win.
typedef struct {
    const char *name;   // the entry's own or its Hugging Face name, or its role
    const char *value;  // "128", "1e-12", "gelu"; "true" and "false" are 1 and 0
    const char *origin; // for diagnostics: "--set", "config.json"
    ftc_override_kind kind;
} ftc_override;

typedef struct {
    const ftc_override *list;
    int n;
} ftc_settings;

// Reads a text and builds its graph: library functions inlined, loops unrolled, types inferred. `overrides`
// may be NULL. Returns NULL after adding diagnostics. The graph is the caller's (ftc_graph_free).
ftc_graph *ftc_parse_file(const char *path, const ftc_settings *overrides, ftc_diagnostics *d);

// The same for a text in memory; `name` is what diagnostics and locations show.
ftc_graph *ftc_parse_text(const char *name, const char *text, const ftc_settings *overrides,
                          ftc_diagnostics *d);

// The graph of a dump whose nodes and declarations have their places in this text, not those that it tells:
// for diagnostics about the dump.
ftc_graph *ftc_parse_dump(const char *name, const char *text, ftc_diagnostics *d);

// The text itself with the values of the config and train blocks replaced by those of `overrides`: what a
// trained model keeps as its model.ir. To be freed by the caller; NULL after diagnostics.
char *ftc_parse_resolve(const char *name, const char *text, const ftc_settings *overrides,
                        ftc_diagnostics *d);

// The same, but an entry that takes over the value of another by its name goes on doing so: values may still
// come from elsewhere. `overrides` is not NULL.
char *ftc_parse_override(const char *name, const char *text, const ftc_settings *overrides,
                         ftc_diagnostics *d);

// Texts that are part of the program, by their names; the last name is NULL.
typedef struct {
    const char *name, *text;
} ftc_library_file;

// The text of the model in a file, with what it says to `use "OTHER.ir"`: a text that names a model gets the
// functions of OTHER.ir appended; one that names none is the text of OTHER.ir with the values of its own
// blocks. OTHER.ir lies beside the file, else it is one of the `installed` texts (NULL: there are none).
// *name is the file that the text is from, for diagnostics and locations; both are to be freed. NULL after
// diagnostics.
char *ftc_parse_read_model(const char *path, const ftc_library_file *installed, char **name,
                           ftc_diagnostics *d);

// The same for one of the installed texts.
char *ftc_parse_installed(const ftc_library_file *file, const ftc_library_file *installed, char **name,
                          ftc_diagnostics *d);

// What the family block of a text says its model_type is; allocated, NULL where it says none.
char *ftc_parse_model_type(const ftc_library_file *file);

// A whole file as a NUL-terminated string, to be freed by the caller; NULL after a diagnostic.
char *ftc_parse_read(const char *path, ftc_diagnostics *d);

#endif
