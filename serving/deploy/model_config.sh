#!/bin/sh
# Prints a model configuration: which versions to load, and which label points at which of them.
#     sh serving/deploy/model_config.sh NAME "VERSION ..." LABEL:VERSION ... > /models/models.config
# The models lie in /models, or where MODELS says, an absolute path as the server sees it.
set -eu
models=${MODELS:-/models}
name=$1 versions=$2
shift 2
printf 'model_config_list {\n  config {\n'
printf '    name: "%s"\n    base_path: "%s/%s"\n    model_platform: "tensorflow"\n' "$name" "$models" "$name"
printf '    model_version_policy { specific {'
printf ' versions: %s' $versions
printf ' } }\n'
for label; do
    printf '    version_labels { key: "%s" value: %s }\n' "${label%:*}" "${label#*:}"
done
printf '  }\n}\n'
