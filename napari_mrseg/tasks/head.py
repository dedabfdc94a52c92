"""The brain in a scan of the head: what the bundled network that cuts it out answers."""

from napari_mrseg.tasks.schema import Label, Modality, Region, Task

BRAIN = Task(
    name="brain",
    title="Brain in a scan of the head, any contrast",
    modalities=(Modality("head", "Head", ("head", "scan")),),
    labels=(Label(1, "brain", "brain", ("#009E73",)),),
    regions=(Region("brain", "brain", (1,), paints=1, code=("12738006", "SCT", "Brain")),),
    nested=False,
    fill="zero",
    ndim=3,
    reference_names=("brain", "mask", "seg", "bet", "brainmask"),
    finding="a brain",
    subject="head",
    made_up="simulated, not a patient",
)
