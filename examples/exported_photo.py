"""Joints of one person with a file that `posecli export` wrote, without posecli:
python examples/exported_photo.py small.onnx photo.jpg 50,400,195,505

.onnx needs onnxruntime, .xml openvino, .tflite ai-edge-litert, .pt2 torch; all need numpy and opencv-python.
"""

import json
import sys

import cv2
import numpy as np

file, photo = sys.argv[1], cv2.imread(sys.argv[2])
x, y, width, height = (float(v) for v in sys.argv[3].split(","))

if file.endswith(".onnx"):
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    spec = json.loads(session.get_modelmeta().custom_metadata_map["posecli"])
elif file.endswith(".xml"):
    import openvino

    model = openvino.Core().read_model(file)
    spec = json.loads(model.get_rt_info(["posecli"]).astype(str))
elif file.endswith(".tflite"):
    import zipfile

    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(file)
    network.allocate_tensors()
    spec = json.loads(zipfile.ZipFile(file).read("posecli.json"))
else:
    import torch

    extra = {"posecli": ""}
    program = torch.export.load(file, extra_files=extra)
    spec = json.loads(extra["posecli"])

# The crop: around the box's middle, in the network's shape, crop_factor times what the box needs.
down, across = spec["input_size"]
scale = spec["crop_factor"] * max(width / across, height / down)  # photo pixels a crop pixel
middle = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
corner = middle - scale * (np.array([across, down]) - 1) / 2
affine = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
crop = cv2.warpAffine(photo, affine, (across, down), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
rgb = crop[..., ::-1].astype(np.float32) / 255
batch = ((rgb - spec["mean"]) / spec["std"]).transpose(2, 0, 1)[None].astype(np.float32)

if file.endswith(".onnx"):
    [maps] = session.run(None, {"crops": batch})
elif file.endswith(".xml"):
    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # without it, bfloat16 where the CPU has it: faster
    maps = openvino.Core().compile_model(model, "CPU", exact)([batch])[0]
elif file.endswith(".tflite"):
    network.set_tensor(network.get_input_details()[0]["index"], batch)
    network.invoke()
    maps = network.get_tensor(network.get_output_details()[0]["index"])
else:
    maps = program.module()(torch.from_numpy(batch)).detach().numpy()

last = maps[0, -1]  # (joints, cells down, cells across) of the last stack
for k, joint in enumerate(last):
    row, column = np.unravel_index(joint.argmax(), joint.shape)
    cell = across / joint.shape[1]  # crop pixels a cell
    at = corner + scale * ((np.array([column, row]) + 0.5) * cell - 0.5)
    print(f"{k:2} {at[0]:7.1f} {at[1]:7.1f}")
