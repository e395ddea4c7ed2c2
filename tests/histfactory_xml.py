"""A measurement as HistFactory XML with its histograms, as `hist2workspace` reads it."""

import numpy as np

TOP = """<!DOCTYPE Combination SYSTEM "HistFactorySchema.dtd">
<Combination OutputFilePrefix="./results/model">
  <Input>./channel.xml</Input>
  <Measurement Name="usual" Lumi="1." LumiRelErr="0.03" ExportOnly="True">
    <POI>mu</POI>
    <ParamSetting Const="True">Lumi</ParamSetting>
  </Measurement>
</Combination>
"""
CHANNEL = """<!DOCTYPE Channel SYSTEM "HistFactorySchema.dtd">
<Channel Name="region" InputFile="./data.root" HistoName="">
  <Data HistoName="data" InputFile="./data.root"/>
  <StatErrorConfig RelErrorThreshold="0.02" ConstraintType="Gaussian"/>
  <Sample Name="signal" HistoName="signal" NormalizeByTheory="True">
    <NormFactor Name="mu" Val="1" Low="0" High="10"/>
    <OverallSys Name="eff" Low="0.93" High="1.05"/>
    <HistoSys Name="scale" HistoNameLow="signal_down" HistoNameHigh="signal_up"/>
    <StatError Activate="True"/>
  </Sample>
  <Sample Name="background" HistoName="background">
    <OverallSys Name="rate" Low="0.8" High="1.25"/>
    <StatError Activate="True"/>
    <ShapeSys Name="closure" HistoName="closure" ConstraintType="Poisson"/>
  </Sample>
</Channel>
"""
HISTOGRAMS = {
    "data": ([118.0, 97.0, 88.0, 60.0], None),
    "signal": ([12.0, 20.0, 15.0, 6.0], [0.5, 0.7, 0.6, 0.4]),
    "signal_up": ([11.0, 22.0, 16.0, 6.5], None),
    "signal_down": ([13.0, 18.5, 14.0, 5.0], None),
    "background": ([100.0, 80.0, 70.0, 50.0], [1.0, 4.0, 3.0, 2.5]),
    "closure": ([0.1, 0.05, 0.2, 0.15], None),
}
"""Contents and errors; the relative errors of simulation are 1 % in the first bin, more than 2 % in the others."""


def write(folder, top=TOP, channel=CHANNEL):
    """Write the XML files and the histograms; return the top-level file."""
    import hist
    import uproot

    with uproot.recreate(folder / "data.root") as file:
        for name, (values, errors) in HISTOGRAMS.items():
            book = hist.Hist(hist.axis.Regular(len(values), 0.0, 4.0), storage=hist.storage.Weight())
            book.view(flow=False).value = values
            book.view(flow=False).variance = np.square(errors if errors else np.sqrt(values))
            file[name] = book
    (folder / "channel.xml").write_text(channel)
    (folder / "top.xml").write_text(top)
    return folder / "top.xml"
