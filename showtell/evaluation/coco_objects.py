"""Which of COCO's 80 kinds of objects a caption names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_NAMES: Final = {
    "person": "man woman boy girl child kid baby toddler infant guy lady people men women children player"
    " skier snowboarder surfer skateboarder cyclist biker rider bicyclist motorcyclist tennis-player"
    " baseball-player batter pitcher catcher umpire teenager adult male female gentleman couple crowd"
    " pedestrian swimmer climber hiker runner dancer performer worker fisherman policeman soldier"
    " chef bride groom mother father son daughter brother sister friend family someone",
    "bicycle": "bike",
    "car": "automobile sedan suv jeep taxi cab minivan van hatchback",
    "motorcycle": "motorbike motor-bike scooter moped motor-cycle dirt-bike dirtbike",
    "airplane": "plane jet aircraft aeroplane jetliner airliner",
    "bus": "",
    "train": "locomotive tram",
    "truck": "pickup lorry pick-up-truck fire-truck firetruck tractor-trailer",
    "boat": "ship sailboat canoe kayak ferry raft yacht rowboat",
    "traffic light": "traffic-signal stop-light stoplight street-light-signal",
    "fire hydrant": "hydrant",
    "stop sign": "",
    "parking meter": "",
    "bench": "",
    "bird": "duck goose geese pigeon seagull gull parrot owl hawk eagle swan flamingo ostrich penguin",
    "cat": "kitten kitty",
    "dog": "puppy pup canine terrier poodle retriever collie greyhound labrador dalmatian hound",
    "horse": "pony foal colt stallion",
    "sheep": "lamb ram",
    "cow": "cattle calf calves bull ox oxen",
    "elephant": "",
    "bear": "panda polar-bear",
    "zebra": "",
    "giraffe": "",
    "backpack": "knapsack rucksack",
    "umbrella": "parasol",
    "handbag": "purse hand-bag",
    "tie": "necktie bow-tie bowtie neck-tie",
    "suitcase": "luggage",
    "frisbee": "",
    "skis": "ski",
    "snowboard": "",
    "sports ball": "ball baseball tennis-ball soccer-ball football basketball volleyball",
    "kite": "",
    "baseball bat": "bat",
    "baseball glove": "mitt catcher-mitt",
    "skateboard": "",
    "surfboard": "surf-board",
    "tennis racket": "racket racquet tennis-racquet",
    "bottle": "",
    "wine glass": "wineglass",
    "cup": "mug",
    "fork": "",
    "knife": "knives",
    "spoon": "",
    "bowl": "",
    "banana": "",
    "apple": "",
    "sandwich": "burger hamburger cheeseburger",
    "orange": "",
    "broccoli": "",
    "carrot": "",
    "hot dog": "hotdog",
    "pizza": "",
    "donut": "doughnut",
    "cake": "cupcake",
    "chair": "armchair stool",
    "couch": "sofa recliner futon loveseat",
    "potted plant": "houseplant house-plant",
    "bed": "",
    "dining table": "table desk",
    "toilet": "urinal",
    "tv": "television monitor televison",
    "laptop": "notebook-computer",
    "mouse": "mice",
    "remote": "remote-control wii-remote",
    "keyboard": "",
    "cell phone": "cellphone phone mobile-phone smartphone smart-phone",
    "microwave": "",
    "oven": "stove stove-top stovetop",
    "toaster": "",
    "sink": "",
    "refrigerator": "fridge",
    "book": "",
    "clock": "",
    "vase": "",
    "scissors": "",
    "teddy bear": "teddy stuffed-bear",
    "hair drier": "hair-dryer hairdryer blow-dryer",
    "toothbrush": "",
}
"""COCO's name of a kind -> other names; a hyphen stands for a space."""

_OTHER: Final = """
    train-track train-tracks train-station bus-stop bus-station car-seat boat-house toilet-paper
    toilet-seat home-plate baseball-field baseball-game baseball-cap baseball-uniform tennis-court
    tennis-match football-field football-game basketball-game basketball-court basketball-hoop
    soccer-field soccer-game orange-shirt orange-jacket table-cloth phone-booth bird-bath cow-boy
    hat-stand ski-lift ski-slope ski-pole ski-poles ski-jump ski-resort bed-room cup-holder horse-shoe
    cat-fish book-store book-shelf boat-dock bike-rack bike-trail bike-path kite-string motor-home
    chair-lift snow-man snow-ball pizza-box cake-pan banana-tree apple-tree orange-tree bottle-cap
"""
"""Names that hold that of an object, and are none."""

_COLOURS: Final = frozenset({"orange"})
"""Names that are a colour if another word of the caption's phrase follows."""


def _plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"


def _names() -> dict[tuple[str, ...], str | None]:
    """Words of a name, singular or plural -> the kind of object, or None if it is no object."""
    names: dict[tuple[str, ...], str | None] = {}
    for other in _OTHER.split():
        names[tuple(other.split("-"))] = None
    for kind, others in _NAMES.items():
        for name in (kind, *(other.replace("-", " ") for other in others.split())):
            *before, last = name.split()
            for form in (last, _plural(last)):
                names[(*before, form)] = kind
    return names


_KINDS: Final = _names()
_LONGEST: Final = max(map(len, _KINDS))


def mentioned_objects(words: Sequence[str]) -> list[str]:
    """COCO's names of the objects that a caption names, in their order, each time that it does.

    Longer names count before shorter ones: a "hot dog" is no dog, and "train tracks" are no train.

    Args:
        words: the caption, tokenized.
    """
    objects = []
    index = 0
    while index < len(words):
        for length in range(min(_LONGEST, len(words) - index), 0, -1):
            name = tuple(words[index : index + length])
            if name in _KINDS:
                kind = _KINDS[name]
                if kind is not None and not _is_colour(words, index):
                    objects.append(kind)
                index += length
                break
        else:
            index += 1
    return objects


def _is_colour(words: Sequence[str], index: int) -> bool:
    """Whether "orange" is the colour of something: "an orange shirt", but "an orange on a plate"."""
    after = words[index + 1] if index + 1 < len(words) else "."
    return words[index] in _COLOURS and after not in {
        ".",
        "on",
        "in",
        "is",
        "sits",
        "sitting",
        "next",
        "with",
    }
