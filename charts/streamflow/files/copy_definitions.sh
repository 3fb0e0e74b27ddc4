# Copies a feature repository out of the image that it comes in to a volume, whole or not at all: FROM TO.
set -eu
if [ ! -f "$1/feature_store.yaml" ]; then
  echo "error: the image has no feature_store.yaml in $1; set definitions.image.path to the folder that has it" >&2
  exit 2
fi
rm -rf "$2" "$2.part"
cp -RL "$1" "$2.part"
mv "$2.part" "$2"
echo "$2: copied from $1"
