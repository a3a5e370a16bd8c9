"""A picture of QGIS with a scene and its map. Needs QGIS (tested with 3.22) and Xvfb.

Run in a checkout:
keras-deeplab predict examples/banepa/scene.tif --model r18_dubai --output map.tif
xvfb-run -s "-screen 0 1280x800x24" qgis --nologo --noplugins --code docs/qgis_picture.py

Adds the two files as a user does by drag and drop: QGIS finds the legend by itself.
"""

import os

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDockWidget
from qgis.utils import iface


def add_layers():
    window = iface.mainWindow()
    window.showNormal()
    window.resize(1100, 700)
    for dock in window.findChildren(QDockWidget):
        dock.setVisible(dock.objectName() == "Layers")
    iface.addRasterLayer("examples/banepa/scene.tif", "scene")
    layer = iface.addRasterLayer("map.tif", "map")
    QgsProject.instance().layerTreeRoot().findLayer(layer).setExpanded(True)
    iface.setActiveLayer(layer)
    iface.zoomToActiveLayer()
    QTimer.singleShot(6000, save_picture)


def save_picture():
    iface.mainWindow().grab().save("docs/images/qgis.jpg", quality=85)
    os._exit(0)  # without the question whether to save the project


QTimer.singleShot(4000, add_layers)  # when the window is there
