"""Review of proposed captions: the photos, the file of what was decided, and the routes for the page."""

from showtell.serving.review.session import Review, ReviewItem, review_folder

__all__ = ["Review", "ReviewItem", "review_folder"]
