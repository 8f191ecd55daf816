set -eux
test "$FROM_IMAGE" = yes
test "$NEW" = "a b; c"
test "$COPIED" = copied
test "$(cat /data/file)" = hello
test "$(cat answer.txt)" = 42
if touch /data/new; then exit 1; fi
python3 -c 'import from_image; assert from_image.VALUE == 1'
python3 -c 'import sys; assert sys.modules["from_image_at_start"]'
