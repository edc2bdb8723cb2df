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
MODEL_VERSION = "al-lightning"
"""Version of all predictions: Label Studio preselects only predictions of the version that a project saw first."""
MOST_PIXELS = 600


def labeling_config(class_names: Sequence[str], images: bool = True) -> str:
    """The labeling interface: a choice of one class, in a line above the image.

    Example:
        >>> print(labeling_config(["cat", "dog"]), end="")
        <View>
          <Choices name="label" toName="image" choice="single" required="true" showInline="true">
            <Choice value="cat"/>
            <Choice value="dog"/>
          </Choices>
          <Image name="image" value="$image" maxWidth="600px" maxHeight="600px"/>
        </View>
    """
    name = IMAGE if images else TEXT
    size = f' maxWidth="{MOST_PIXELS}px" maxHeight="{MOST_PIXELS}px"'
    shown = f'<Image name="{IMAGE}" value="${IMAGE}"{size}/>' if images else f'<Text name="{TEXT}" value="${TEXT}"/>'
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in class_names)
    return (
        f'<View>\n  <Choices name="{CONTROL}" toName="{name}" choice="single" required="true" showInline="true">\n'
        f"{choices}\n  </Choices>\n  {shown}\n</View>\n"
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
        Plain values, ready for JSON. The task's data contain the training-set ``index``, the ``round`` that asks and
        the ``rank``. An export of Label Studio contains them, too.
    """
    data: dict[str, Any] = {"round": question.round, "rank": question.order + 1}
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
        made["predictions"] = [{"model_version": MODEL_VERSION, "score": question.confidence, "result": [choice]}]
    return made
