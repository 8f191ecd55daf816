from .driving import Driving as Driving
