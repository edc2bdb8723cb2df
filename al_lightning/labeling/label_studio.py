"""Label Studio's formats: tasks with predictions, and the labeling interface (https://labelstud.io/guide/tasks)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from al_lightning.data.image_suffixes import readable_suffixes, suffix_of
from al_lightning.labeling.questions import predicted_name
from al_lightning.run_folder.tables import Query

IMAGE_URL = "/data/local-files/?d={path}"
"""URL under which Label Studio serves a local file."""
CONTROL, IMAGE, TEXT = "label", "image", "text"


def labeling_config(class_names: Sequence[str], images: bool = True) -> str:
    """The labeling interface: a choice of one class.

    Example:
        >>> print(labeling_config(["cat", "dog"]), end="")
        <View>
          <Image name="image" value="$image"/>
          <Choices name="label" toName="image" choice="single" required="true">
            <Choice value="cat"/>
            <Choice value="dog"/>
          </Choices>
        </View>
    """
    shown = f'<Image name="{IMAGE}" value="${IMAGE}"/>' if images else f'<Text name="{TEXT}" value="${TEXT}"/>'
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in class_names)
    name = IMAGE if images else TEXT
    return (
        f'<View>\n  {shown}\n  <Choices name="{CONTROL}" toName="{name}" choice="single" required="true">\n'
        f"{choices}\n  </Choices>\n</View>\n"
    )


def is_image(question: Query) -> bool:
    """Whether a sample is an image file, and not a row of a table."""
    return suffix_of(question.file) in readable_suffixes()


def task(
    question: Query,
    class_names: Sequence[str],
    image_url: str = IMAGE_URL,
    text: str = "",
    root: Path | None = None,
) -> dict[str, Any]:
    """A task of Label Studio, with the prediction of the model.

    Args:
        question: The sample.
        class_names: Names of the classes.
        image_url: See :class:`~al_lightning.labeling.FileOracle`.
        text: Text that shows a sample without an image file.
        root: Folder of the data. ``{name}`` in the URL is relative to it.

    Returns:
        Plain values, ready for JSON. The task's data contain the training-set ``index`` and the ``rank``. An export of
        Label Studio contains them, too.
    """
    data: dict[str, Any] = {"rank": question.order + 1}
    if question.index >= 0:  # a sample of the training set
        data["index"] = question.index
    if question.file:
        data["file"] = question.file
    if is_image(question):
        path = Path(question.file).absolute()
        name = path.relative_to(root.absolute()) if root is not None and root.absolute() in path.parents else path
        url = image_url.replace("{path}", quote(path.as_posix().lstrip("/"))).replace("{name}", quote(name.as_posix()))
        data[IMAGE] = url
    else:
        data[TEXT] = text
    made: dict[str, Any] = {"data": data}
    if predicted := predicted_name(question, class_names):
        choice = {
            "from_name": CONTROL,
            "to_name": IMAGE if is_image(question) else TEXT,
            "type": "choices",
            "value": {"choices": [predicted]},
        }
        made["predictions"] = [
            {"model_version": f"round {question.round - 1}", "score": question.confidence, "result": [choice]}
        ]
    return made
