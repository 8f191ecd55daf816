python -c "import six" && echo "$@"
