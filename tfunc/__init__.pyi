"""What `import tfunc` offers, for type checkers and editors. tests/test_package.py holds it against `OFFERS`."""

from tfunc import methods as methods
from tfunc import metrics as metrics
from tfunc.api.evaluation import Evaluation as Evaluation
from tfunc.api.evaluation import evaluate as evaluate
from tfunc.api.maps import Maps as Maps
from tfunc.api.model import Model as Model
from tfunc.api.model import load as load
from tfunc.api.wrapped import ArrayMaps as ArrayMaps
from tfunc.api.wrapped import Wrapped as Wrapped
from tfunc.api.wrapped import wrap as wrap
from tfunc.methods import Method as Method
from tfunc.methods import register as register
from tfunc.scoring.aggregate import subject_scores as subject_scores
from tfunc.scoring.temperature import temperature as temperature

__version__: str
