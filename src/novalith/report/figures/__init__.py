"""Figures as SVG text: functions from data to a picture, crisp on screen and on paper, without any script."""
