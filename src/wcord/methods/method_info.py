"""What the catalogue says of a method. Imports nothing heavy."""

from dataclasses import dataclass, field

FEATURES = "embeddings; any classes"
MAPS = "maps of both; any classes"
LOOP = "double loop"


@dataclass(frozen=True)
class MethodInfo:
    """One method; names add up, as in `wcord+kd`.

    Attributes:
        title: the method in a few words.
        paper: where it was published.
        year: the year of publication.
        weight: the factor of its terms in a sum, from the paper unless the docs say otherwise.
        needs: the requirements on data and networks, in words.
        checked: the references of its value, beside closed forms and finite differences.
        term: module and class of its term, which has the name of the method.
        terms: name → (factor, module and class) for a method of several terms, or whose term has another name.
        options: options that differ from the defaults of the loss.
        cross_entropy: the factor of the cross-entropy in a sum that contains this method, or the name of the one of its
            `options` that is this factor.
        alone: factors of (cross-entropy, method) if the paper weighs the method differently when it is used alone.
        adapt_student: module and function that turns the student into another network before training, which is then
            the one that is shipped, built by `create_model("METHOD:STUDENT:TEACHER")`; None keeps the student.
        adapt_teacher: module and function that adds trainable parts to a frozen teacher; None leaves it as it is. Its
            keyword-only arguments are options of the method.
        reconstruction: whether its authors published no code and their paper leaves open what the docs name, so that no
            value of theirs can be compared; it then stands in a table of its own.
    """

    title: str
    paper: str
    year: int
    weight: float
    needs: str
    checked: str
    term: str = ""
    terms: dict[str, tuple[float, str]] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    cross_entropy: float | str = 1.0
    alone: tuple[float, float] | None = None
    adapt_student: str | None = None
    adapt_teacher: str | None = None
    reconstruction: bool = False
