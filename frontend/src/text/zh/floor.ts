import type { Part } from "../dictionary";
import type { floor as en } from "../en/floor";

/** 班组长页面和大屏上的文字。 */
export const floor: Part<typeof en> = {
  calls: {
    title: "工位的呼叫",
    none: "没有人不确定",
    noneHelp: "工位上一有人呼叫，就会连同剩余时间显示在这里。",
    bar: "有人不确定",
    unsure: "{{by}} 不确定",
    answer: "回答",
    ok: "合格",
    ng: "不合格",
    look: "查看零件",
    otherwise: { ng: "之后按不合格处理", review: "之后继续隔离" },
    past: "以前",
    state: { open: "未回答", answered: "{{by}} 判为{{verdict}}", withdrawn: "已撤回", expired: "无人到场：{{verdict}}" },
  },
  wall: {
    back: "检查",
    others: "工位",
    state: { fault: "相机故障", call: "呼叫", alarm: "报警", running: "运行中", quiet: "无零件", never: "尚无数据" },
    hour: "过去一小时的零件数",
    bad: "不合格",
    review: "待复查",
    last: "最近零件：{{ago}}",
    mode: { shadow: "仅旁观", advise: "仅建议" },
    trend: "非合格比例，每组 {{size}} 件",
    trendIs: "每组 {{size}} 件的非合格比例：现为 {{now}}，通常 {{usual}}，控制限 {{lower}} 至 {{upper}}",
    limit: "控制限 {{limit}}",
    usual: "通常 {{usual}}",
    learning: "正在学习通常水平：{{n}} / {{all}} 件",
    filling: "第一组尚未满",
    camera: "{{view}}：{{fault}}",
    more_other: "另有 {{count}} 个",
    calls: "等待班组长",
    old: "非实时：数字可能已过时",
    empty: "还没有工位发送零件",
  },
};
