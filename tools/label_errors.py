"""The table of doubtful labels that `flower_cli.py audit` writes; read without torch."""

LABEL_ERRORS = "label_errors.csv"

LABEL_ERROR_COLUMNS = (
    "image_id",
    "label",
    "name",
    "suggested_label",
    "suggested_name",
    "given",
    "suggested",
    "reason",
)

# why a label is doubtful
SAME_PICTURE, SURE_OF_ANOTHER = "the same picture has another label", "the model is sure of another class"
