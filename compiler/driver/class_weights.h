// --class-weights: what each class weighs in the loss.
#ifndef FTC_DRIVER_CLASS_WEIGHTS_H
#define FTC_DRIVER_CLASS_WEIGHTS_H

#include "compiler/driver/data.h"

// The weights of `count` classes as the config entry class_weights has them, "0.5|2": out of a file, a JSON
// object from names to weights or CSV with a name and a weight a row; or, `asked` being "balanced", by how
// often the training rows, or their words, have each: n / (count · those that have it), as scikit-learn's; of
// several labels a text the rows that lack it by those that have it. Told on standard error unless
// options->is_silent. Allocated.
ftc_status ftc_class_weights(const ftc_data_options *options, const char *asked, bool several, int32_t count,
                             const char *dir, char **out);

#endif
