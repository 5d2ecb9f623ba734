"""The embedded dataset: synthetic scenes with captions from a grammar, and a judge that reads captions back.

Made in seconds on any machine, it needs no download; each word of its captions can be checked.
"""

from showtell.data.scenes.drawing import draw_scene
from showtell.data.scenes.folder import make_scenes, read_scenes
from showtell.data.scenes.grammar import scene_captions
from showtell.data.scenes.judge import SceneJudgement, judge_caption
from showtell.data.scenes.scene import Scene, SceneObject, random_scene

__all__ = [
    "Scene",
    "SceneJudgement",
    "SceneObject",
    "draw_scene",
    "judge_caption",
    "make_scenes",
    "random_scene",
    "read_scenes",
    "scene_captions",
]
